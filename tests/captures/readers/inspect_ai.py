"""Reads logs of Inspect by the classes EvalLog, EvalSample and Event of inspect_ai 0.3.50 and 0.3.285: one span for each sample, and for each event
that is a step."""

import gzip, json, os, zipfile

from expected import ns, span

STEPS = ('span_begin', 'step', 'model', 'tool', 'sandbox', 'approval', 'subtask')


def text_of(content):
    if isinstance(content, list):
        return '\n'.join(c['text'] for c in content if c.get('type') == 'text')
    return content


def message(m):
    content = text_of(m['content'])
    if m['role'] == 'tool' and not content and m.get('error'):
        content = m['error']['message']
    return [m['role'], content]


def resolved(value, attachments):
    if isinstance(value, str) and value.startswith('attachment://'):
        return attachments.get(value[len('attachment://'):], value)
    if isinstance(value, list):
        return [resolved(x, attachments) for x in value]
    if isinstance(value, dict):
        return {k: resolved(v, attachments) for k, v in value.items()}
    return value


def error_facts(error):
    """Type and message of an error that was recorded with a traceback; a repr `Type('text')` names both."""
    import ast, re
    text, stack = error['message'], error.get('traceback') or ''
    m = re.fullmatch(r"([A-Za-z_.]+)\((.*)\)", text, re.S)
    if m:
        try:
            return m[1], str(ast.literal_eval(m[2]))
        except (ValueError, SyntaxError):
            return m[1], m[2]
    last = [l for l in stack.split('\n') if l and not l.startswith(' ')]
    kind = last[-1].split(':')[0] if last else None
    frames = stack.rfind('\n  File "')
    for line in stack[frames + 1:].split('\n') if frames >= 0 else []:
        if line and not line.startswith(' '):
            kind = line.split(':')[0]
            break
    return kind, text


def asked(output):
    return [(t['function'], t['arguments']) for c in output.get('choices') or [] for t in c['message'].get('tool_calls') or []]


def output_facts(event):
    out, f = event['output'], {}
    choices = out.get('choices') or []
    empty = not out.get('completion') and all(not text_of(c['message']['content']) and not c['message'].get('tool_calls') for c in choices)
    f['model'] = out.get('model') or event['model']
    usage = out.get('usage') or {}
    f['input_tokens'], f['output_tokens'] = usage.get('input_tokens'), usage.get('output_tokens')
    f['output'], f['asked'], f['finish_reasons'] = [], [], []
    if not (event.get('error') and empty):
        f['output'] = [message(c['message']) for c in choices]
        f['finish_reasons'] = [c['stop_reason'] for c in choices]
        f['asked'] = asked(out)
    raw = (event.get('call') or {}).get('response') or {}
    words = [c['finish_reason'] for c in raw.get('choices') or [] if c.get('finish_reason')]
    if any(w in ('length', 'content_filter') for w in words):
        f['finish_reasons'] = words
    return f


def sample(s, task, eval_id):
    root = {'span_id': 'sample', 'name': task, 'kind': 'agent', 'service': task}
    trace_id = s.get('uuid') or f"{eval_id}/{s['id']}/{s['epoch']}"
    s = dict(s, **resolved({k: s[k] for k in ('input', 'output', 'messages')}, s['attachments']))
    pool = resolved((s.get('events_data') or {}).get('messages') or [], s['attachments'])
    events = [resolved(e, s['attachments']) for e in s['events']]
    times = [ns(t) for e in events for t in (e['timestamp'], e.get('completed')) if t]
    # The attempts before the events have no times; they are one nanosecond apart.
    retries = s.get('error_retries') or []
    root['started_at'] = min(times[:1] + ([ns(s['started_at'])] if s.get('started_at') else [])) - len(retries)
    root['ended_at'] = max(times + ([ns(s['completed_at'])] if s.get('completed_at') else []))
    root['input'] = [['user', s['input']]] if isinstance(s['input'], str) else [message(m) for m in s['input']]
    root['output'] = [message(c['message']) for c in s['output'].get('choices') or []]
    root['asked'] = asked(s['output'])
    root['status'] = 'unset'
    if s.get('limit'):
        root['status'], root['error_type'] = 'error', 'LimitExceededError'
        root['message'] = next(e['message'] for e in events if e['event'] == 'sample_limit')
    if s.get('error'):
        root['status'] = 'error'
        root['error_type'], root['message'] = error_facts(s['error'])
    yield span(trace_id=trace_id, **root)
    for number, attempt in enumerate(retries, 1):
        kind, text = error_facts(attempt)
        yield span(trace_id=trace_id, span_id=f'attempt-{number}', parent_span_id='sample', name='attempt', kind='chain', service=task, started_at=root['started_at'] + number - 1,
                   ended_at=root['started_at'] + number - 1, status='error', error_type=kind, message=text)
    # The events are those of the last attempt.
    top = 'sample'
    if retries:
        top = f'attempt-{len(retries) + 1}'
        yield span(trace_id=trace_id, span_id=top, parent_span_id='sample', name='attempt', kind='chain', service=task, started_at=root['started_at'] + len(retries), ended_at=root['ended_at'], status='unset')
    open_steps, known, ends, spans = [], set(), {}, []
    for number, e in enumerate(events, 1):
        if e['event'] == 'span_end':
            ends[e['id']] = ns(e['timestamp'])
    tool_of_span = {}
    previous = None
    for e in events:
        if e['event'] == 'span_begin':
            previous = e
        elif e['event'] == 'tool':
            if previous and previous.get('type') == 'tool' and previous['name'] == e['function'] and previous.get('parent_id') == e.get('span_id'):
                tool_of_span[previous['id']] = e['uuid']
            previous = None
    for number, e in enumerate(events, 1):
        kind = e['event']
        parent = e.get('span_id') if e.get('span_id') in known else (open_steps[-1]['span_id'] if open_steps else top)
        f = {'span_id': e.get('uuid') or f'event-{number}', 'parent_span_id': parent, 'started_at': ns(e['timestamp']), 'ended_at': ns(e.get('completed')), 'status': 'unset',
             'service': task}
        if kind == 'span_begin':
            f.update(span_id=e['id'], parent_span_id=e['parent_id'] if e.get('parent_id') in known else top, name=e['name'], ended_at=ends.get(e['id']),
                     kind='agent' if e.get('type') in ('agent', 'handoff') else 'chain')
            f['parent_span_id'] = tool_of_span.get(e['id'], f['parent_span_id'])
            known.add(e['id'])
        elif kind == 'step':
            if e['action'] == 'end':
                open_steps.pop()
                continue
            end = next((x for x in events[number:] if x['event'] == 'step' and x['action'] == 'end' and x['name'] == e['name']), None)
            f.update(name=e['name'], kind='chain', ended_at=end and ns(end['timestamp']))
            open_steps.append(f)
        elif kind == 'model':
            inputs = e['input'] or [m for a, b in e.get('input_refs') or [] for m in pool[a:b]]
            f.update(name=e['model'], kind='llm', input=[message(m) for m in inputs], **output_facts(e))
            call = e.get('call') or {}
            if e.get('error'):
                f['status'] = 'error'
                f['error_type'], f['message'] = error_facts({'message': e['error'], 'traceback': e.get('traceback')})
            elif call.get('error') is True or (f['finish_reasons'] == ['model_length'] and f['input_tokens'] is None):
                f['status'], f['message'] = 'error', e['output']['completion']
            if f['ended_at'] is None and e['output'].get('time'):
                f['ended_at'] = f['started_at'] + int(e['output']['time'] * 1e9)
        elif kind == 'tool':
            f.update(name=e['function'], kind='tool', tool_name=e['function'], tool_arguments=e['arguments'])
            if e.get('error') or e.get('failed'):
                f.update(status='error', error_type=(e.get('error') or {}).get('type'), message=(e.get('error') or {}).get('message'))
            if e['result']:
                f['tool_result'] = e['result'] if isinstance(e['result'], str) else json.dumps(e['result'])
        elif kind == 'sandbox':
            f.update(name='sandbox ' + e['action'], kind='chain')
        elif kind == 'error' and open_steps:
            error_type, text = error_facts(e['error'])
            open_steps[-1].update(status='error', error_type=error_type, message=text)
        if kind in STEPS:
            spans.append(f)
    yield from (span(trace_id=trace_id, **f) for f in spans)


def log(path):
    d = json.load(gzip.open(path, 'rt'))
    for s in d['samples']:
        yield from sample(s, d['eval']['task'], d['eval'].get('eval_id') or d['eval']['run_id'] + '/' + d['eval']['task_id'])


def archive(path):
    """An `.eval` log: its samples, without the eval, which only the name of the file names."""
    stem = os.path.basename(path)[:-len('.eval')]
    with zipfile.ZipFile(path) as z:
        for name in z.namelist():
            if name.startswith('samples/'):
                yield from sample(json.loads(z.read(name)), stem.split('_')[1], stem)


READERS = [(r'inspect_ai/.*\.json\.gz', log), (r'inspect_ai/.*\.eval', archive)]
