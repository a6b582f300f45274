"""Traces of the OpenAI Agents SDK."""

from expected import calls, lines, ns, span

KINDS = {'agent': 'agent', 'function': 'tool', 'generation': 'llm', 'response': 'llm', 'handoff': 'chain', 'guardrail': 'guardrail', 'custom': 'chain',
         'mcp_tools': 'other'}


def cause(error):
    """What the data of an error say, or its message with the data."""
    import json
    data = error.get('data') or {}
    detail = data.get('error') or data.get('details')
    if detail and 'redacted' not in detail:
        return detail
    return error['message'] + (': ' + json.dumps(data, separators=(',', ':'), ensure_ascii=False) if data else '')


def error_type(text):
    """JavaScript writes `Type: message`."""
    import re
    found = re.match(r'([A-Z]\w*(?:Error|Exceeded|Exception)): ', text or '')
    return found and found[1]


def content(message):
    text = message.get('content')
    if isinstance(text, list):
        return '\n'.join(p['text'] for p in text if p.get('text'))
    return text or ''


def flat(items):
    """Messages and finish reasons in a list of messages, of chat completions, or of responses."""
    messages, reasons, asked = [], [], []
    for item in items or []:
        if 'choices' in item:
            for choice in item['choices']:
                reasons.append(choice['finish_reason'])
                messages.append(choice['message'])
        elif item.get('object') == 'response':
            reasons.append(item['status'] if item['status'] else None)
            for part in item['output']:
                if part['type'] == 'function_call':
                    messages.append({'role': 'assistant', 'content': '', 'tool_calls': [{'function': part}]})
                else:
                    messages.append(part)
        else:
            messages.append(item)
    for m in messages:
        asked += calls(m)
    return [[m['role'], content(m)] for m in messages], reasons, asked


def agents(path):
    items = lines(path)
    workflows = {i['id']: i['workflow_name'] for i in items if i['object'] == 'trace'}
    for i in items:
        if i['object'] == 'trace':
            continue
        d, error = i['span_data'], i.get('error')
        kind = d['type']
        name = f"handoff to {d['to_agent']}" if kind == 'handoff' and d.get('to_agent') else d.get('name') or kind
        f = {'kind': KINDS[kind], 'service': workflows[i['trace_id']]}
        status, message = ('error', cause(error)) if error else ('unset', None)
        if kind == 'guardrail' and d['triggered']:
            status, message = 'error', message or 'Guardrail tripwire triggered'
        if kind == 'function':
            f.update(tool_name=d['name'], tool_arguments=d['input'], tool_result=d.get('output') or None)
        if kind == 'generation':
            f['input'] = flat(d['input'])[0]
            f['output'], f['finish_reasons'], f['asked'] = flat(d.get('output'))
            f['model'] = d['model']
        usage = d.get('usage') or {}
        for o in d.get('output') if isinstance(d.get('output'), list) else []:
            usage = usage or o.get('usage') or {}
        f['input_tokens'] = usage.get('input_tokens', usage.get('prompt_tokens'))
        f['output_tokens'] = usage.get('output_tokens', usage.get('completion_tokens'))
        yield span(trace_id=i['trace_id'], span_id=i['id'], parent_span_id=i['parent_id'], name=name, started_at=ns(i['started_at']), ended_at=ns(i['ended_at']),
                   status=status, error_type=error_type(message), message=message, **f)


READERS = [(r'openai_agents/.*\.jsonl\.gz', agents)]
