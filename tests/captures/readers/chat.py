"""Conversations in the shapes of providers and frameworks, exports, and logs of single calls. All were written by hand."""

import json

from expected import lines, ns, span

USERS = {'human': 'user', 'ai': 'assistant', 'model': 'assistant', 'gpt': 'assistant', 'observation': 'tool', 'function_call': 'assistant'}


def parts_of(m):
    """The parts of a message: `(kind, value)` with the kinds text, call `(id, name, arguments)`, and result `(id, name, text, failed)`."""
    if m.get('type') == 'reasoning':
        return
    if m.get('type') == 'function_call':
        yield 'call', (m['call_id'], m['name'], m['arguments'])
    if m.get('type') == 'function_call_output':
        yield 'result', (m['call_id'], None, m['output'], False)
    if m.get('from') == 'function_call':
        c = json.loads(m['value'])
        yield 'call', (None, c['name'], c['arguments'])
    elif 'from' in m:
        yield ('result', (None, None, m['value'], False)) if m['from'] == 'observation' else ('text', m['value'])
    for c in m.get('tool_calls') or []:
        f = c.get('function') or c
        yield 'call', (c['id'], f['name'], f.get('arguments', f.get('args')))
    if m.get('tool_call_id'):
        yield 'result', (m['tool_call_id'], m.get('name'), m['content'], m.get('status') == 'error')
        return
    content = m.get('content', m.get('parts')) or []
    for p in [{'text': content}] if isinstance(content, str) else content:
        if p.get('type', '').startswith('tool-'):
            name = p['type'][len('tool-'):]
            yield 'call', (p['toolCallId'], name, p['input'])
            yield 'result', (p['toolCallId'], name, p['errorText'], True)
        elif p.get('type') == 'tool_use' or 'toolUse' in p or 'functionCall' in p:
            c = p.get('toolUse') or p.get('functionCall') or p
            yield 'call', (c.get('id') or c.get('toolUseId'), c['name'], c.get('input', c.get('args')))
        elif p.get('type') == 'tool_result':
            yield 'result', (p['tool_use_id'], None, p['content'][0]['text'], p['is_error'])
        elif 'toolResult' in p:
            r = p['toolResult']
            yield 'result', (r['toolUseId'], None, r['content'][0]['text'], r['status'] == 'error')
        elif 'functionResponse' in p:
            r = p['functionResponse']
            yield 'result', (None, r['name'], r['response']['error'], True)
        elif 'text' in p:
            yield 'text', p['text']


def role_of(m):
    role = m.get('role') or m.get('from') or m.get('type')
    return USERS.get(role, 'assistant' if role == 'function_call' else role)


def conversation(trace, start, messages):
    calls = {}
    for index, m in enumerate(messages):
        parts = list(parts_of(m))
        asked = [v for kind, v in parts if kind == 'call']
        calls.update({id: (name, arguments) for id, name, arguments in asked if id})
        texts = [v for kind, v in parts if kind == 'text']
        role = role_of(m)
        spans = []
        for id, name, text, failed in (v for kind, v in parts if kind == 'result'):
            called = calls.get(id, (None, None))
            name = name or called[0]
            spans.append(dict(kind='tool', name=name or 'tool', tool_name=name, tool_arguments=called[1], tool_result=text, status='error' if failed else 'unset',
                              message=text if failed else None))
        if texts or asked:
            meta, usage = m.get('response_metadata') or {}, m.get('usage_metadata') or {}
            message = dict(name=role, kind='llm' if role == 'assistant' else 'other', status='unset', asked=[c[1:] for c in asked], model=meta.get('model_name'),
                           finish_reasons=[meta.get('finish_reason')], input_tokens=usage.get('input_tokens'), output_tokens=usage.get('output_tokens'),
                           input=[], output=[])
            message['output' if role == 'assistant' else 'input'] = [[role, '\n'.join(texts)]]
            spans.insert(0 if role == 'assistant' else len(spans), message)
        for number, s in enumerate(spans):
            yield span(trace_id=trace, span_id=str(index) if number == 0 else f'{index}.{number}', started_at=start and start + index, **s)


def shapes(path):
    for r in lines(path):
        yield from conversation(r['id'], ns(r['started_at']), r.get('messages') or r['conversations'])


def call_span(trace, start=None, request=None, response=None, error=None, **k):
    r = response or {}
    facts = dict(kind='llm', name='chat', status='unset', input=request or [], output=[])
    if 'choices' in r:
        facts.update(model=r['model'], input_tokens=r['usage']['prompt_tokens'], output_tokens=r['usage']['completion_tokens'],
                     finish_reasons=[r['choices'][0]['finish_reason']], output=[['assistant', r['choices'][0]['message']['content']]])
    if 'stop_reason' in r:
        facts.update(model=r['model'], input_tokens=r['usage']['input_tokens'], output_tokens=r['usage']['output_tokens'], finish_reasons=[r['stop_reason']],
                     output=[['assistant', r['content'][0]['text']]])
    if 'candidates' in r:
        facts.update(model=r['modelVersion'], input_tokens=r['usageMetadata']['promptTokenCount'], output_tokens=r['usageMetadata']['candidatesTokenCount'],
                     finish_reasons=[r['candidates'][0]['finishReason']], output=[['assistant', r['candidates'][0]['content']['parts'][0]['text']]])
    if error:
        facts.update(status='error', error_type=error[0], message=error[1])
    out = span(trace_id=trace, span_id='0', started_at=start, ended_at=start, **{**facts, **k})
    if start is None:
        # The time of the object.
        out.pop('started_at'), out.pop('ended_at')
    return out


def batch_openai(path):
    for r in lines(path):
        response = r['response'] or {}
        body = response.get('body') or {}
        e = r['error'] or body.get('error')
        yield call_span(r['id'], body.get('created') and body['created'] * 10**9, response=body, error=e and (e.get('type') or e['code'], e['message']))


def batch_anthropic(path):
    for number, r in enumerate(lines(path), 1):
        kind, e = r['result']['type'], r['result'].get('error', {}).get('error')
        error = (e['type'], e['message']) if e else (None, f'the request was {kind}') if kind != 'succeeded' else None
        message = r['result'].get('message')
        yield call_span(message['id'] if message else f'chat/batch_anthropic.jsonl#L{number}', response=message, error=error)


def calls(path):
    for r in lines(path):
        t = ns(r['created_at'])
        if 'request' in r:
            yield call_span(r['id'], t, [[m['role'], m['parts'][0]['text']] for m in r['request']['contents']], r['response'])
            continue
        e = r.get('error')
        s = call_span(r['id'], t, [[m['role'], m['content']] for m in r['messages']], r.get('response'), e and (e.split(':')[0], e), **({} if (r.get('response') or {}).get('choices') else {'model': r['model']}))
        if 'completion' in r:
            s['output'] = [['assistant', r['completion']]]
        yield s


def chatgpt(path):
    with open(path) as f:
        for c in json.load(f):
            nodes, node, chain = c['mapping'], c['current_node'], []
            while node:
                chain.insert(0, nodes[node]['message'])
                node = nodes[node]['parent']
            for index, m in enumerate(m for m in chain if m):
                role, content = m['author']['role'], m['content']
                text = '\n'.join(content.get('parts') or [content.get('text')])
                called = m['recipient'] if m['recipient'] != 'all' else None
                name = m['author']['name']
                facts = dict(name=name or role, status='unset', started_at=int(m['create_time'] * 1000) * 1_000_000 + index, input=[], output=[],
                             finish_reasons=[m['metadata'].get('finish_details', {}).get('type')])
                if role == 'tool':
                    facts.update(kind='tool', tool_name=name, tool_result=text)
                elif role == 'assistant':
                    facts.update(kind='llm', output=[[role, '' if called else text]], asked=[(called, text)] if called else [])
                else:
                    facts.update(kind='other', input=[[role, text]])
                yield span(trace_id=c['id'], span_id=str(index), **facts)


READERS = [(r'chat/conversations\.json', chatgpt), (r'chat/shapes\.jsonl', shapes), (r'chat/batch_openai\.jsonl', batch_openai), (r'chat/batch_anthropic\.jsonl', batch_anthropic), (r'chat/calls\.jsonl', calls)]
