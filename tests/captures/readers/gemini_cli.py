"""Sessions of Gemini CLI: one object, or one record on each line; and the events of `--output-format stream-json`."""

import gzip, json, re

from expected import ns, span


def error_of(text):
    """Type and message of a failure: those of a Python traceback, if there is one."""
    head, found, stack = text.partition('Traceback (most recent call last)')
    # The first unindented line after the last frame.
    after = stack[stack.rindex('\n  File "'):].splitlines()[1:] if found else []
    last = next((l for l in after if l and not l.startswith((' ', '\t'))), None)
    return (last.split(':')[0], head.strip() or text) if last else (None, text)


def text_of(content):
    if isinstance(content, str):
        return content
    return '\n'.join(p['text'] for p in content or [] if 'text' in p)


def result_of(call):
    for part in call.get('result') or []:
        response = part.get('functionResponse', {}).get('response')
        if response:
            return next(iter(response.values())) if len(response) == 1 else response
    return call.get('resultDisplay')


def messages_of(path):
    """The messages with the trace that they belong to and their place, the last version of each."""
    with gzip.open(path, 'rt') as f:
        records = [json.loads(l) for l in f]
    latest = {}
    for number, r in enumerate(records, 1):
        trace = r.get('sessionId') if 'messages' in r else None
        for index, m in enumerate((r.get('$set') or r).get('messages') or ([r] if 'type' in r else []), 1):
            place = number + (0 if m is r else index)
            known = latest.get(m['id'])
            latest[m['id']] = (trace, known[1] if known else place, place, m)
    return latest.values()


def chats(path):
    for trace, first, last, m in messages_of(path):
        trace = trace or 'gemini_cli/' + path.split('/gemini_cli/')[1]
        t, end = ns(m['timestamp']) + first * 16, ns(m['timestamp']) + last * 16
        common = dict(trace_id=trace, service='gemini-cli', started_at=t)
        if m['type'] == 'user' and not (isinstance(m['content'], list) and all('functionResponse' in p for p in m['content'])):
            text = text_of(m['content'])
            role = 'system' if text.startswith('<session_context>') else 'user'
            yield span(span_id=m['id'], name=role, kind='other', status='unset', ended_at=end, input=[[role, text]], output=[], **common)
        if m['type'] == 'gemini':
            asked = [(c['name'], c['args']) for c in m.get('toolCalls') or []]
            text = text_of(m['content'])
            tokens = m.get('tokens') or {}
            yield span(span_id=m['id'], name='assistant', kind='llm', status='unset', ended_at=end, model=m.get('model'), input_tokens=tokens.get('input'),
                       output_tokens=tokens.get('output'), asked=asked, input=[], output=[['assistant', text]] if text or asked else [], **common)
            for i, c in enumerate(m.get('toolCalls') or []):
                result = result_of(c)
                exit_codes = re.findall(r'^Exit Code: (-?\d+)$', str(result), re.M)
                failed = c['status'] == 'error' or exit_codes[-1:] not in ([], ['0'])
                etype, message = error_of(result) if failed else (None, None)
                common['started_at'] = ns(m['timestamp']) + last * 16 + 1 + i
                yield span(span_id=c['id'], name=c['name'], kind='tool', status='error' if failed else {'success': 'ok'}.get(c['status'], 'unset'), tool_name=c['name'],
                           tool_arguments=c['args'], tool_result=result, error_type=etype, message=message,
                           ended_at=max(ns(c['timestamp']), common['started_at']), **common)


def stream(path):
    spans = {}
    with gzip.open(path, 'rt') as f:
        records = [json.loads(l) for l in f]
    for number, r in enumerate(records, 1):
        t = ns(r['timestamp']) + number * 16
        common = dict(trace_id='gemini_cli/' + path.split('/gemini_cli/')[1], service='gemini-cli', status='unset', started_at=t, ended_at=t)
        if r['type'] == 'message' and r['role'] == 'user':
            spans[number] = dict(common, span_id=f'L{number}', kind='other', name='user', input=[['user', r['content']]], output=[])
        elif r['type'] == 'message':
            spans[number] = dict(common, span_id=f'L{number}', kind='llm', name='assistant', input=[], output=[['assistant', r['content']]])
        elif r['type'] == 'tool_use':
            spans[r['tool_id']] = dict(common, span_id=r['tool_id'], kind='tool', name=r['tool_name'], tool_name=r['tool_name'], tool_arguments=r['parameters'], ended_at=None)
        elif r['type'] == 'tool_result':
            s = spans[r['tool_id']]
            s.update(ended_at=t, tool_result=r.get('output'), status={'error': 'error', 'success': 'ok'}[r['status']])
            s.update(error_type=(r.get('error') or {}).get('type'), message=(r.get('error') or {}).get('message'))
        elif r['type'] == 'result':
            s = spans[number] = dict(common, span_id=f'L{number}', kind='agent', name='gemini-cli', status={'error': 'error', 'success': 'ok'}[r['status']])
            s.update(input_tokens=r['stats']['input_tokens'], output_tokens=r['stats']['output_tokens'], message=(r.get('error') or {}).get('message'))
            if 'API Error' in (s['message'] or ''):
                spans[f'{number}.call'] = dict(common, span_id=f'L{number}.call', parent_span_id=f'L{number}', kind='llm', name='assistant', status='error', message=s['message'])
    for s in spans.values():
        yield span(**s)


READERS = [(r'gemini_cli/chats/.*', chats), (r'gemini_cli/stream/.*', stream)]
