"""What the SDKs of OpenTelemetry print or write: the Python, JavaScript and Go structures of spans, log records and metrics."""

import gzip, json, re

from expected import body, exception, ns, of_attributes, span

KINDS = {'LLM': 'llm', 'TOOL': 'tool', 'AGENT': 'agent', 'chat': 'llm', 'llm_call': 'llm', 'execute_tool': 'tool', 'tool_call': 'tool', 'invoke_agent': 'agent'}
STATUS = {'UNSET': 'unset', 'Unset': 'unset', 0: 'unset', 'OK': 'ok', 'Ok': 'ok', 1: 'ok', 'ERROR': 'error', 'Error': 'error', 2: 'error'}


def text_of(path):
    with gzip.open(path, 'rt') as f:
        return f.read()


def values(path):
    """JSON values with white space between them."""
    text, decoder, at = text_of(path), json.JSONDecoder(), 0
    while (at := re.compile(r'\s*').match(text, at).end()) < len(text):
        value, at = decoder.raw_decode(text, at)
        yield value


def parts(message):
    """Role and text of a message of OpenTelemetry or Gemini."""
    texts = [p.get('content', p.get('text')) or p.get('response') for p in message.get('parts') or []]
    return ['assistant' if message['role'] == 'model' else message['role'], '\n'.join(t for t in texts if t)]


def openinference(a, which):
    found = {}
    for k, v in a.items():
        m = re.fullmatch(r'llm\.%s_messages\.(\d+)\.message\.(role|content)' % which, k)
        if m:
            found.setdefault(int(m[1]), {})[m[2]] = v
    return [[found[i]['role'], found[i].get('content', '')] for i in sorted(found)]


def facts(a, logs=()):
    """The facts in the attributes of a span."""
    # The messages of Gemini CLI have another form; they are read below.
    is_gemini = a.get('gen_ai.agent.name') == 'gemini-cli'
    out = of_attributes({k: v for k, v in a.items() if not (is_gemini and k.endswith('put.messages'))})
    kind = KINDS.get(a.get('openinference.span.kind') or a.get('gen_ai.operation.name'))
    if kind:
        out['kind'] = kind
    if kind == 'llm':
        out['input'] = openinference(a, 'input')
        out['output'] = openinference(a, 'output')
        for which in ('input', 'output'):
            messages = json.loads(a.get(f'gen_ai.{which}.messages', '[]'))
            out[which] += [parts(m) for m in (messages if isinstance(messages, list) else [messages])]
        for name, log in logs:
            if name == 'gen_ai.choice':
                out['output'].append([log['message']['role'], log['message'].get('content') or ''])
                out['finish_reasons'] = out['finish_reasons'] or [log['finish_reason']]
                out['asked'] = [(c['function']['name'], c['function']['arguments']) for c in log['message'].get('tool_calls') or []]
            elif name.endswith('.message'):
                out['input'].append([name.split('.')[1], log.get('content') or ''])
        if not out['finish_reasons']:
            # Older instrumentations have them in the response only.
            out['finish_reasons'] = [c['finish_reason'] for c in body(a.get('output.value')).get('choices') or []]
    result = a.get('gen_ai.tool.call.result') or a.get('output.value')
    if kind == 'tool' and result:
        # A call that failed has none; failsift takes it from the message that answers the call.
        out['tool_result'] = result
    return out


def named(f, name):
    if f.get('tool_name') is True:
        f['tool_name'] = name
    return f


# --- Python --------------------------------------------------------------------------------------------------------------------------

def python(path):
    records = list(values(path))
    logs = {}
    for r in records:
        if 'severity_number' in r:
            logs.setdefault(r['span_id'], []).append((r['attributes']['event.name'], r['body']))
    for r in records:
        if 'context' not in r:
            continue
        kind, message = exception(r['events'])
        a = r['attributes']
        yield span(trace_id=r['context']['trace_id'][2:], span_id=r['context']['span_id'][2:], parent_span_id=r['parent_id'] and r['parent_id'][2:], name=r['name'],
                   started_at=ns(r['start_time']), ended_at=ns(r['end_time']), status=STATUS[r['status']['status_code']], error_type=kind or a.get('error.type'),
                   message=message or r['status'].get('description'), service=r['resource']['attributes']['service.name'],
                   **named(facts(a, logs=logs.get(r['context']['span_id'], ())), r['name']))


# --- JavaScript ----------------------------------------------------------------------------------------------------------------------

def thrown(events):
    """Type and message of an exception; a class of the SDK that raised it has its name before it."""
    kind, message = exception(events)
    stack = next((e['attributes'].get('exception.stacktrace') or '' for e in events if e['name'] == 'exception'), '')
    return f'openai.{kind}' if kind and '/node_modules/openai/' in stack else kind, message


def hr(time):
    return time[0] * 10**9 + time[1]


def gemini_call(a, f):
    """The call and its result in the messages of a tool's span of Gemini CLI."""
    asked, done = json.loads(a['gen_ai.input.messages']), json.loads(a['gen_ai.output.messages'])
    f.update(tool_name=asked['name'], tool_arguments=asked['args'])
    f['tool_result'] = json.dumps(done['response']['responseParts'][0]['functionResponse']['response'], separators=(',', ':'))
    return done['response'].get('errorType') if done['status'] == 'error' else None


def javascript_objects(path):
    for r in values(path):
        if '_spanContext' not in r:
            continue
        parent = r['parentSpanContext']['spanId'] if r.get('parentSpanContext') else r.get('parentSpanId')
        resource = dict(r['resource'].get('_rawAttributes') or r['resource']['_attributes'])
        kind, message = thrown(r['events'])
        a = r['attributes']
        f, status = facts(a), STATUS[r['status']['code']]
        if a.get('gen_ai.operation.name') == 'tool_call':
            failed = gemini_call(a, f)
            kind, status, message = (failed, 'error', f['tool_result']) if failed else (kind, status, message)
        if a.get('gen_ai.operation.name') == 'llm_call' and 'gen_ai.output.messages' in a:
            f['asked'] = [(p['functionCall']['name'], p['functionCall']['args']) for p in json.loads(a['gen_ai.output.messages'])['parts'] if 'functionCall' in p]
        yield span(trace_id=r['_spanContext']['traceId'], span_id=r['_spanContext']['spanId'], parent_span_id=parent, name=r['name'], started_at=hr(r['startTime']),
                   ended_at=hr(r['endTime']), status=status, error_type=kind or a.get('error.type'), message=message or r['status'].get('message'),
                   service=resource['service.name'], **named(f, r['name']))


TOKEN = re.compile(r"""\s*(?:(?P<string>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`)|(?P<mark>[][{}:,+])|(?P<word>[^][{}:,\s]+))""", re.S)


class Displayed:
    """Objects as Node.js displays them."""

    def __init__(self, text):
        self.tokens = [m for m in TOKEN.finditer(text) if m.lastgroup]
        self.at = 0

    def next(self):
        self.at += 1
        return self.tokens[self.at - 1]

    def peek(self):
        return self.tokens[self.at][0].strip() if self.at < len(self.tokens) else ''

    def string(self, m):
        unescaped = re.sub(r'\\(x..|.)', lambda e: {'n': '\n', 't': '\t'}.get(e[1]) or (chr(int(e[1][1:], 16)) if e[1][0] == 'x' and len(e[1]) == 3 else e[1]), m['string'][1:-1], flags=re.S)
        if self.peek() == '+':
            self.next()
            return unescaped + self.string(self.next())
        return unescaped

    def value(self):
        m = self.next()
        if m['string']:
            return self.string(m)
        if m['mark'] == '{':
            out = {}
            while self.peek() != '}':
                k = self.next()
                assert self.next()['mark'] == ':'
                out[self.string(k) if k['string'] else k['word']] = self.value()
                if self.peek() == ',':
                    self.next()
            self.next()
            return out
        if m['mark'] == '[':
            out = []
            while self.peek() != ']':
                out.append(self.value())
                if self.peek() == ',':
                    self.next()
            self.next()
            return out
        return {'undefined': None, 'null': None, 'true': True, 'false': False}.get(m['word'], None) if not re.match(r'-?\d', m['word']) else json.loads(m['word'])


def javascript_console(path):
    reader, records, logs = Displayed(text_of(path)), [], {}
    while reader.at < len(reader.tokens):
        records.append(reader.value())
    for r in records:
        if r.get('body'):
            logs.setdefault(r['spanId'], []).append((r['eventName'], r['body']))
    for r in records:
        if 'duration' not in r:
            continue
        parent = r['parentSpanContext']['spanId'] if r.get('parentSpanContext') else r.get('parentId')
        kind, message = thrown(r['events'])
        a = r['attributes']
        start = r['timestamp'] * 1000
        yield span(trace_id=r['traceId'], span_id=r['id'], parent_span_id=parent, name=r['name'], started_at=start, ended_at=start + round(r['duration'] * 1000),
                   status=STATUS[r['status']['code']], error_type=kind, message=message or r['status'].get('message'), service=r['resource']['attributes']['service.name'],
                   **named(facts(a, logs.get(r['id'], ())), r['name']))


# --- Go ------------------------------------------------------------------------------------------------------------------------------

def go_ns(text):
    """Go writes up to nine digits of a second."""
    whole, _, fraction = text.rstrip('Z').partition('.')
    return ns(whole + 'Z') + int(fraction.ljust(9, '0'))


def go(path):
    pairs = lambda xs: {x['Key']: x['Value']['Value'] for x in xs or []}
    for r in values(path):
        if 'SpanContext' not in r:
            continue
        kind, message = exception([{'name': e['Name'], 'attributes': pairs(e['Attributes'])} for e in r['Events'] or []])
        parent = r['Parent']['SpanID']
        a = pairs(r['Attributes'])
        yield span(trace_id=r['SpanContext']['TraceID'], span_id=r['SpanContext']['SpanID'], parent_span_id=None if set(parent) == {'0'} else parent, name=r['Name'],
                   started_at=go_ns(r['StartTime']), ended_at=go_ns(r['EndTime']), status=STATUS[r['Status']['Code']], error_type=kind,
                   message=message or r['Status']['Description'], service=pairs(r['Resource'])['service.name'], **named(facts(a), r['Name']))


READERS = [(r'opentelemetry_sdk/(signals_)?python.*', python), (r'opentelemetry_sdk/(javascript_object|gemini_cli).*', javascript_objects),
           (r'opentelemetry_sdk/javascript_console.*', javascript_console), (r'opentelemetry_sdk/go_.*', go)]
