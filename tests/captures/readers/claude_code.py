"""Sessions of Claude Code on disk, and the messages of `--output-format stream-json`."""

import re

from expected import lines, ns, span


def text_of(content):
    """The text of content: a text, or blocks."""
    if isinstance(content, str):
        return content
    return '\n'.join(b['text'] for b in content or [] if b.get('type') == 'text')


def is_result(block):
    return isinstance(block, dict) and block.get('type', '').endswith('tool_result') and 'tool_use_id' in block


def error_of(text):
    """Type and message of a failure: those of a Python traceback, or of `Type: message`."""
    head, found, stack = text.partition('Traceback (most recent call last)')
    if found:
        last = [l for l in stack.splitlines() if l and not l.startswith((' ', '\t'))][-1]
        return last.split(':')[0], head.strip() or text
    m = re.match(r'\s*([A-Za-z_][\w.]{2,80}(?:Error|Exception|Timeout)):', text)
    return m and m[1], text


def claude_code(path):
    spans, order = {}, []

    def at(trace, id, kind, name, **k):
        key = (trace, id)
        if key not in spans:
            spans[key] = dict(trace_id=trace, span_id=id, kind=kind, name=name, service='claude-code', status='unset', asked=[], input=[], output=[],
                              finish_reasons=[], tool_result=None)
            order.append(key)
        s = spans[key]
        for x, v in k.items():
            if v is not None and s.get(x) is None:
                s[x] = v
        return s

    streamed = '/stream/' in path
    for number, r in enumerate(lines(path), 1):
        trace = r.get('sessionId') or r.get('session_id')
        t = (ns(r['timestamp']) if r.get('timestamp') else 0) + number * 16
        parent = r.get('agentId') or (r.get('parent_tool_use_id') or trace if streamed else None)
        kind, m = r.get('type'), r.get('message') or {}
        if kind == 'attachment' and r['attachment'].get('type') == 'max_turns_reached':
            at(trace, r['uuid'], 'agent', 'claude-code', started_at=t, ended_at=t).update(
                status='error', error_type='error_max_turns', message=f"Reached max turns ({r['attachment']['maxTurns']})")
        elif kind == 'assistant' and (r.get('isApiErrorMessage') or r.get('error')):
            etype = r.get('error') or r.get('apiError')
            at(trace, m['id'], 'llm', 'assistant', started_at=t, ended_at=t, parent_span_id=parent).update(status='error', error_type=etype, message=text_of(m['content']))
        elif kind == 'assistant':
            s = at(trace, m['id'], 'llm', 'assistant', started_at=t, parent_span_id=parent, model=m['model'],
                   input_tokens=m['usage']['input_tokens'])
            s['ended_at'] = t
            s['output_tokens'] = max(s.get('output_tokens') or 0, m['usage']['output_tokens'])
            s['finish_reasons'].append(m.get('stop_reason'))
            for b in m['content']:
                if b['type'] in ('text', 'tool_use'):
                    s['output'].append(['assistant', b.get('text', '')])
                if b['type'] == 'tool_use':
                    s['asked'].append((b['name'], b['input']))
                    calls = sum(x['type'] == 'tool_use' for x in m['content'][:m['content'].index(b)])
                    tool = at(trace, b['id'], 'tool', b['name'], parent_span_id=parent, started_at=t + 1 + calls)
                    tool['tool_name'], tool['tool_arguments'] = b['name'], b['input']
        elif kind == 'user':
            content = m['content'] if isinstance(m['content'], list) else [{'type': 'text', 'text': m['content']}]
            details = r.get('toolUseResult', r.get('tool_use_result'))
            for b in filter(is_result, content):
                text = text_of(b['content'])
                found = re.fullmatch(r'<tool_use_error>(.*)</tool_use_error>', text.strip(), re.S)
                text = found[1] if found else text
                s = at(trace, b['tool_use_id'], 'tool', '', started_at=t, parent_span_id=parent)
                s['ended_at'], s['tool_result'] = max(t, s['started_at']), text
                if text.startswith("The user doesn't want"):
                    continue
                if b.get('is_error'):
                    s['status'] = 'error'
                    s['error_type'], s['message'] = error_of(text)
                elif b.get('is_error') is False:
                    s['status'] = 'ok'
                if isinstance(details, dict) and details.get('agentId'):
                    a = at(trace, details['agentId'], 'agent', details.get('agentType') or 'agent', ended_at=t,
                           started_at=t - (details.get('totalDurationMs') or 0) * 1_000_000)
                    a['parent_span_id'] = b['tool_use_id']
            rest = [b for b in content if not is_result(b)]
            if rest or not content:
                role = 'system' if r.get('isMeta') or r.get('isSynthetic') or r.get('isCompactSummary') else 'user'
                at(trace, r.get('uuid') or f'L{number}', 'other', role, started_at=t, ended_at=t, parent_span_id=parent)['input'] = [[role, text_of(rest)]]
        elif kind == 'system' and r.get('subtype') == 'init':
            at(trace, trace, 'agent', 'claude-code', started_at=t)
        elif kind == 'system' and r.get('subtype') in ('api_retry', 'api_error'):
            s = at(trace, r['uuid'], 'llm', 'assistant', started_at=t, ended_at=t, parent_span_id=parent)
            s.update(status='error', error_type=r['error'], message=r['error'])
        elif kind == 'result':
            s = at(trace, trace, 'agent', 'claude-code', started_at=t)
            s['status'] = 'error' if r['is_error'] else 'ok'
            if r['is_error']:
                s['message'] = '\n'.join(r.get('errors') or []) or r['result']
                s['error_type'] = None if r['subtype'] == 'success' else r['subtype']
    for key in order:
        s = spans[key]
        out = span(**s)
        if streamed:
            # The order of the records counts, in the time of the object.
            out.pop('started_at'), out.pop('ended_at')
        yield out


READERS = [(r'claude_code/.*\.jsonl\.gz', claude_code)]
