"""Bedrock's model invocation logs, and the bodies of the models on it."""

import json

from expected import lines, ns, span


def blocks(content):
    """Text, tool calls and tool results of content of Converse or of Anthropic."""
    if isinstance(content, str):
        return content, [], []
    text, asked, results = [], [], []
    for b in content:
        if b.get('text'):
            text.append(b['text'])
        use = b.get('toolUse') or (b if b.get('type') == 'tool_use' else None)
        if use:
            asked.append((use['name'], use['input']))
        if b.get('toolResult'):
            r = b['toolResult']
            results.append(('Error: ' if r.get('status') == 'error' else '') + r['content'][0]['text'])
    return '\n'.join(text), asked, results


def request(body):
    out = []
    system = body.get('system')
    if system:
        out.append(['system', system if isinstance(system, str) else system[0]['text']])
    for m in body.get('chat_history') or []:
        out.append([{'USER': 'user', 'CHATBOT': 'assistant'}[m['role']], m['message']])
    for m in body.get('messages') or []:
        text, _, results = blocks(m['content'])
        out += [['tool', r] for r in results] if results else [[m['role'], text]]
    prompt = body.get('message') or body.get('prompt') or body.get('inputText')
    return out + ([['user', prompt]] if prompt else [])


def streamed(chunks):
    """Text, tool calls and finish reason of the chunks of a stream."""
    text, tools, reason = '', {}, None
    for c in chunks:
        if 'type' in c:
            i = c.get('index')
            if c['type'] == 'content_block_start' and c['content_block']['type'] == 'tool_use':
                tools[i] = [c['content_block']['name'], '']
            d = c.get('delta') or {}
            text += d.get('text', '')
            if 'partial_json' in d:
                tools[i][1] += d['partial_json']
            reason = d.get('stop_reason') or reason
        elif 'choices' in c:
            for x in c['choices']:
                text += x['delta'].get('content') or ''
                for t in x['delta'].get('tool_calls') or []:
                    tools.setdefault(t['index'], ['', ''])
                    tools[t['index']][0] += t['function'].get('name', '')
                    tools[t['index']][1] += t['function']['arguments']
                reason = x.get('finish_reason') or reason
        else:
            text += c.get('contentBlockDelta', {}).get('delta', {}).get('text', '') + (c.get('outputText') or c.get('generation') or c.get('text') or '')
            reason = c.get('messageStop', {}).get('stopReason') or c.get('completionReason') or c.get('stop_reason') or c.get('finish_reason') or reason
    return text, list(map(tuple, tools.values())), [reason]


def response(body):
    if body is None:
        return None, [], []
    if isinstance(body, list):
        return streamed(body)
    guarded = ['guardrail_intervened'] if body.get('amazon-bedrock-guardrailAction') == 'INTERVENED' else []
    if 'output' in body:
        text, asked, _ = blocks(body['output']['message']['content'])
        return text, asked, [body['stopReason']] + guarded
    if 'content' in body:
        text, asked, _ = blocks(body['content'])
        return text, asked, [body['stop_reason']]
    if 'choices' in body:
        c = body['choices'][0]
        return c.get('text') or c['message']['content'], [], [c['stop_reason']]
    part = (body.get('results') or body.get('outputs') or [body])[0]
    text = part.get('outputText') or part.get('text') or part.get('generation') or part.get('completion')
    return text, [], [part.get('completionReason') or part.get('stop_reason') or part.get('finish_reason')]


def bedrock(path):
    for r in lines(path):
        model = r['modelId'].split('/')[-1]
        kind = 'embedding' if 'embed' in model else 'retriever' if 'rerank' in model else 'llm'
        i, o = r.get('input') or {}, r.get('output') or {}
        body = o.get('outputBodyJson')
        metadata = r.get('requestMetadata') or {}
        f = {'kind': kind, 'service': metadata.get('service'), 'model': model, 'input_tokens': i.get('inputTokenCount'), 'output_tokens': o.get('outputTokenCount')}
        if kind == 'llm':
            f['input'] = request(i.get('inputBodyJson') or {})
            text, f['asked'], f['finish_reasons'] = response(body)
            f['output'] = [['assistant', text]] if text or f['asked'] else []
        latency = body.get('metrics', {}).get('latencyMs') if isinstance(body, dict) else None
        for c in body if isinstance(body, list) else []:
            latency = c.get('amazon-bedrock-invocationMetrics', {}).get('invocationLatency', latency)
        start = ns(r['timestamp'])
        error = r.get('errorCode')
        yield span(trace_id=r['requestId'], span_id=r['requestId'], name=r['operation'], started_at=start, ended_at=start + (latency or 0) * 1_000_000,
                   status='error' if error else 'ok', error_type=error, message=r.get('errorMessage') or error, **f)


READERS = [(r'bedrock/.*\.json\.gz', bedrock)]
