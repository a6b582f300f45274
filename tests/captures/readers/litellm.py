"""LiteLLM's call logs: StandardLoggingPayload and spend logs."""

import json

from expected import calls, lines, ns, span

KINDS = {'acompletion': 'llm', 'atext_completion': 'llm', 'aresponses': 'llm', 'anthropic_messages': 'llm', 'aembedding': 'embedding', 'amoderation': 'other',
         'arerank': 'retriever', 'aimage_generation': 'other', 'call_mcp_tool': 'tool'}
HIDDEN = 'redacted-by-litellm'


def text(content):
    return content if isinstance(content, str) else '\n'.join(p['text'] for p in content or [] if p.get('text'))


def conversation(messages):
    """Role, text and tool calls of each message. A message without anything but a placeholder is left out."""
    out = []
    for m in messages:
        asked = [(n, '' if a == HIDDEN else a) for n, a in calls(m)]
        content = text(m.get('content'))
        if content == HIDDEN and not asked:
            continue
        out.append((m['role'], '' if content == HIDDEN else content, asked))
    return out


def answer(response):
    """Messages and finish reasons of OpenAI's chat completion or response."""
    if 'output' in response:
        messages = [p if p['type'] == 'message' else {'role': 'assistant', 'content': '', 'tool_calls': [{'function': p}]} for p in response['output']]
        incomplete = response.get('incomplete_details')
        return messages, [incomplete['reason'] if incomplete else response['status']]
    choices = response.get('choices') or []
    return [c['message'] for c in choices], [c['finish_reason'] for c in choices]


def call(id, trace, r, metadata, error, guardrails, messages, response, start, end):
    kind = KINDS[r['call_type']]
    f = {'kind': kind, 'service': (metadata.get('requester_metadata') or {}).get('service'), 'model': r['model']}
    name = r['call_type']
    if r['prompt_tokens'] or r['completion_tokens']:
        f['input_tokens'], f['output_tokens'] = r['prompt_tokens'], r['completion_tokens']
    if kind == 'llm':
        if isinstance(messages, str):
            # The beginning of Python's repr of one message.
            head, tail = "[{'role': 'user', 'content': '", '...truncated by litellm, this logger does not support large content'
            messages = [{'role': 'user', 'content': messages.removeprefix(head).removesuffix(tail)}]
        given = conversation(messages)
        system = (r.get('model_parameters') or {}).get('instructions')
        if system:
            given.insert(0, ('system', system, []))
        f['input'] = [[role, content] for role, content, _ in given]
        said, f['finish_reasons'] = answer(response or {})
        said = conversation(said)
        f['output'] = [[role, content] for role, content, _ in said]
        f['asked'] = [c for _, _, asked in said for c in asked]
    if kind == 'tool':
        tool = metadata['mcp_tool_call_metadata']
        f['model'] = None
        name = f['tool_name'] = tool['name']
        f['tool_arguments'] = tool['arguments']
        f['tool_result'] = '\n'.join(p['text'] for p in response['content']) if response else None
    failed = r['status'] == 'failure'
    common = dict(trace_id=trace, name=name, started_at=start, ended_at=end, status='error' if failed else 'ok',
                  error_type=(error or {}).get('error_class') if failed else None,
                  message=((error or {}).get('error_message') or r.get('error_str')) if failed else None)
    yield span(span_id=id, parent_span_id=None, **common, **f)
    for n, g in enumerate(guardrails or [], 1):
        blocked = g['guardrail_status'] == 'guardrail_intervened'
        message = None
        if blocked:
            said = g['guardrail_response']
            message = 'guardrail_intervened' + ('' if said == 'REDACTED_BY_LITELM' else ': ' + said)
        yield span(trace_id=trace, span_id=f'{id}/guardrail/{n}', parent_span_id=id, name=g['guardrail_name'], kind='guardrail', service=f['service'],
                   started_at=int(g['start_time'] * 1e9), ended_at=int(g['end_time'] * 1e9), status='error' if blocked else 'unset', message=message)


def payloads(path):
    for r in lines(path):
        yield from call(r['id'], r['trace_id'] or r['id'], r, r['metadata'], r.get('error_information'), r.get('guardrail_information'), r['messages'], r['response'],
                        int(r['startTime'] * 1e9), int(r['endTime'] * 1e9))


def spend_logs(path):
    for r in lines(path):
        m, request = json.loads(r['metadata']), json.loads(r['proxy_server_request'])
        messages = request.get('messages') or [{'role': 'user', 'content': request.get('input')}]
        m['requester_metadata'] = (request.get('metadata') or {}).get('requester_metadata')
        yield from call(r['request_id'], r['session_id'] or r['request_id'], r, m, m.get('error_information'), m.get('guardrail_information'), messages, json.loads(r['response']),
                        ns(r['startTime']), ns(r['endTime']))


def tables(path):
    """Rows of the loggers for ClickHouse (milliseconds) and Databricks (microseconds)."""
    for r in lines(path):
        click = 'request_id' in r
        id, unit = (r['request_id'], 1_000_000) if click else (r['id'], 1_000)
        tree = lambda x: json.loads(x) if x else None
        r['model_parameters'] = tree(r.get('model_parameters'))
        error = {'error_class': (r['error_str'] or '').split(':')[0]} if click else tree(r['error_information'])
        yield from call(id, r['session_id'] if click else r['trace_id'], r, tree(r['metadata']), error, None, tree(r['messages']), tree(r['response']),
                        r['start_time'] * unit, r['end_time'] * unit)


READERS = [(r'litellm/(clickhouse|zerobus).*', tables), (r'litellm/spend.*', spend_logs), (r'litellm/.*', payloads)]
