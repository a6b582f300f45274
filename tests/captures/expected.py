"""Reads the captures in this folder independently of failsift.

Writes one JSON object per span of each capture, with the facts that every format has. The test module `captures` compares them with the
output of `failsift query --input` for the same files. Run it by hand after adding a capture, with the folders to read (all by default):

    pip install pyarrow && python3 tests/captures/expected.py [FOLDER]...

Readers of further formats are in `readers/`, one module per folder of captures.

It uses only Python's json, csv and ast modules and pyarrow, no code of failsift. The protobuf files contain the same spans as the JSON files
beside them, so they are compared with those.
"""

import ast, csv, gzip, importlib, json, os, re, sys
from datetime import datetime, timezone

HERE = os.path.dirname(os.path.abspath(__file__))
csv.field_size_limit(10_000_000)


def lines(path):
    with gzip.open(path, 'rt') if path.endswith('.gz') else open(path) as f:
        return [json.loads(l) for l in f if l.strip()]


def ns(text):
    """Nanoseconds of an RFC 3339 time; a time without a zone is UTC."""
    if text in (None, ''):
        return None
    text = text.replace('Z', '+00:00').replace(' ', 'T')
    t = datetime.fromisoformat(text)
    t = t if t.tzinfo else t.replace(tzinfo=timezone.utc)
    d = t - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return ((d.days * 86400 + d.seconds) * 1_000_000 + d.microseconds) * 1000


def span(**k):
    known = ['trace_id', 'span_id', 'parent_span_id', 'name', 'started_at', 'ended_at', 'status', 'error_type', 'message', 'model', 'finish_reasons',
             'tool_name', 'tool_arguments', 'input_tokens', 'output_tokens', 'asked']
    out = {x: k.get(x) for x in known}
    out['finish_reasons'] = sorted({x for x in out['finish_reasons'] or [] if x})
    out['asked'] = [[n, canonical(a)] for n, a in (out['asked'] or [])]
    # None if the span has no arguments; they may be in the message that requested the call.
    out['tool_arguments'] = canonical(out['tool_arguments'] or None) if out['tool_name'] else None
    for x in ('parent_span_id', 'error_type', 'message', 'model'):
        out[x] = out[x] or None
    # Facts that only the newer readers have: kind, service, tool_result, and messages as [role, content].
    out.update({x: k[x] for x in ('kind', 'service', 'tool_result', 'input', 'output') if x in k})
    return out


def canonical(text):
    """JSON without whitespace; other text unchanged."""
    if text is None:
        return None
    if not isinstance(text, str):
        return json.dumps(text, sort_keys=True, separators=(',', ':'), ensure_ascii=False)
    try:
        return json.dumps(json.loads(text), sort_keys=True, separators=(',', ':'), ensure_ascii=False)
    except ValueError:
        return text


def number(x):
    return None if x is None or x != x else int(x)


def calls(message):
    """`(name, arguments)` of each tool call in an OpenAI-like message."""
    out = []
    for c in (message or {}).get('tool_calls') or []:
        f = c.get('function') or c
        out.append((f['name'], f.get('arguments', f.get('args'))))
    return out


def requested_tools(pairs):
    """Spans, from pairs of a span and its input. Where the software records no kind for tools, a step below the root that has the name of a tool
    which was requested before is one."""
    spans = sorted(pairs, key=lambda pair: (pair[0]['started_at'], pair[0]['span_id']))
    recorded, requested = {(s['trace_id'], s['tool_name']) for s, _ in spans if s['kind'] == 'tool'}, set()
    for s, arguments in spans:
        requested |= {(s['trace_id'], name) for name, _ in s['asked']}
        call = (s['trace_id'], s['name'])
        if s['kind'] in ('other', 'chain') and s['parent_span_id'] and call in requested - recorded:
            s.update(kind='tool', tool_name=s['name'], tool_arguments=canonical(arguments))
        yield s


# --- OTLP ---------------------------------------------------------------------------------------------------------------------------

def any_value(v):
    if v is None:
        return None
    for k, x in v.items():
        if x is None:
            continue
        k = k.replace('_value', 'Value')
        if k == 'intValue':
            return int(x)
        if k == 'arrayValue':
            return [any_value(y) for y in x.get('values', [])]
        if k == 'kvlistValue':
            return {y['key']: any_value(y.get('value')) for y in x.get('values', [])}
        return x
    return None


def attributes(xs):
    return {x['key']: any_value(x.get('value')) for x in xs or []}


def hex_id(x, n):
    if not x:
        return None
    if len(x) == 2 * n:
        return x.lower()
    import base64
    return base64.b64decode(x).hex()


STATUS = {None: 'unset', 0: 'unset', 1: 'ok', 2: 'error', 'STATUS_CODE_OK': 'ok', 'STATUS_CODE_ERROR': 'error', 'STATUS_CODE_UNSET': 'unset',
          'OK': 'ok', 'ERROR': 'error', 'UNSET': 'unset', '': 'unset', 'error': 'error', 'ok': 'ok'}


def genai_calls(messages):
    messages = json.loads(messages) if isinstance(messages, str) else messages or []
    return [(p['name'], p.get('arguments')) for m in messages for p in m.get('parts') or [] if p.get('type') == 'tool_call']


def body(text):
    """The JSON object in a text; an empty one if there is none."""
    try:
        found = json.loads(text)
    except (TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def of_attributes(a, kind=None):
    """The facts in the attributes of OpenInference, OTel GenAI, OpenLLMetry and Langfuse."""
    out = {}
    out['model'] = (a.get('llm.model_name') or a.get('gen_ai.response.model') or a.get('gen_ai.request.model') or a.get('langfuse.observation.model.name'))
    if not out['model'] and 'LLM' in (a.get('openinference.span.kind'), kind):
        # A failed call has no llm.model_name, but its request names the model.
        out['model'] = body(a.get('input.value')).get('model') or body(a.get('output.value')).get('model')
    reasons = a.get('llm.finish_reason') or a.get('gen_ai.response.finish_reasons') or []
    reasons = [reasons] if isinstance(reasons, str) else list(reasons)
    reasons += [v for k, v in a.items() if re.fullmatch(r'gen_ai\.completion\.\d+\.finish_reason', k)]
    out['finish_reasons'] = reasons
    first = lambda *ks: next((number(a[k]) for k in ks if a.get(k) is not None), None)
    out['input_tokens'] = first('llm.token_count.prompt', 'gen_ai.usage.input_tokens', 'gen_ai.usage.prompt_tokens')
    out['output_tokens'] = first('llm.token_count.completion', 'gen_ai.usage.output_tokens', 'gen_ai.usage.completion_tokens')
    usage = json.loads(a['langfuse.observation.usage_details']) if a.get('langfuse.observation.usage_details') else {}
    if usage:
        out['input_tokens'], out['output_tokens'] = (next((usage[k] for k in ks if k in usage), None) for ks in (('input', 'prompt_tokens', 'input_tokens'), ('output', 'completion_tokens', 'output_tokens')))
    is_tool = (a.get('openinference.span.kind') == 'TOOL' or a.get('gen_ai.operation.name') == 'execute_tool' or a.get('traceloop.span.kind') == 'tool'
               or a.get('langfuse.observation.type') == 'tool' or kind == 'TOOL')
    if is_tool:
        out['tool_name'] = a.get('tool.name') or a.get('gen_ai.tool.name') or True
        out['tool_arguments'] = next((a[k] for k in ('input.value', 'gen_ai.tool.call.arguments', 'traceloop.entity.input', 'langfuse.observation.input') if a.get(k)), '')
        arguments = body(out['tool_arguments'])
        if set(arguments) == {'args', 'kwargs'}:
            # OpenLLMetry wraps the arguments of a Python function.
            if not arguments['args']:
                out['tool_arguments'] = arguments['kwargs']
            elif len(arguments['args']) == 1 and not arguments['kwargs']:
                out['tool_arguments'] = arguments['args'][0]
    asked = {}
    for k, v in a.items():
        m = (re.fullmatch(r'llm\.output_messages\.(\d+)\.message\.tool_calls\.(\d+)\.tool_call\.function\.(name|arguments)', k)
             or re.fullmatch(r'gen_ai\.completion\.(\d+)\.tool_calls\.(\d+)\.(name|arguments)', k))
        if m:
            asked.setdefault((int(m[1]), int(m[2])), {})[m[3]] = v
    out['asked'] = [(asked[k].get('name'), asked[k].get('arguments', '')) for k in sorted(asked)]
    if a.get('gen_ai.output.messages') is not None:
        messages = a['gen_ai.output.messages']
        messages = json.loads(messages) if isinstance(messages, str) else messages
        out['asked'] = genai_calls(messages)
        out['finish_reasons'] = reasons or [m['finish_reason'] for m in messages if m.get('finish_reason')]
    if a.get('langfuse.observation.type') == 'generation':
        out['asked'] = answered(a.get('langfuse.observation.output'))
    return out


def exception(events):
    for e in events:
        if e['name'] == 'exception':
            a = e['attributes']
            return a.get('exception.type'), a.get('exception.message')
    return None, None


def otlp_span(s, names=str):
    g = lambda k: s.get(k, s.get(re.sub('[A-Z]', lambda m: '_' + m[0].lower(), k)))
    a = attributes(g('attributes'))
    events = [{'name': e.get('name'), 'attributes': attributes(e.get('attributes'))} for e in g('events') or []]
    kind, message = exception(events)
    status = g('status') or {}
    f = of_attributes(a)
    if f.get('tool_name') is True:
        f['tool_name'] = re.sub(r'^execute_tool |\.tool$', '', g('name'))
    return span(trace_id=hex_id(g('traceId'), 16), span_id=hex_id(g('spanId'), 8), parent_span_id=hex_id(g('parentSpanId'), 8), name=g('name'),
                started_at=int(g('startTimeUnixNano')), ended_at=int(g('endTimeUnixNano')), status=STATUS[status.get('code')],
                error_type=kind or a.get('error.type'), message=message or status.get('message'), **f)


def otlp(path):
    for r in lines(path):
        for rs in r.get('resourceSpans', []):
            for ss in rs['scopeSpans']:
                for s in ss['spans']:
                    yield otlp_span(s)


# --- Phoenix ------------------------------------------------------------------------------------------------------------------------

def phoenix_rest(path):
    for s in lines(path):
        a = s['attributes']
        kind, message = exception(s['events'])
        f = of_attributes(a, s['span_kind'])
        if f.get('tool_name') is True:
            f['tool_name'] = s['name']
        yield span(trace_id=s['context']['trace_id'], span_id=s['context']['span_id'], parent_span_id=s['parent_id'], name=s['name'],
                   started_at=ns(s['start_time']), ended_at=ns(s['end_time']), status=STATUS[s['status_code']],
                   error_type=kind or a.get('error.type'), message=message or s['status_message'], **f)


def phoenix_otlpv1(path):
    for s in lines(path):
        yield otlp_span(s)


def undotted(value):
    """The value of a cell that pandas wrote as JSON text, as a Python repr, or as it is."""
    if isinstance(value, str) and value[:1] in '[{':
        try:
            return json.loads(value)
        except ValueError:
            try:
                return ast.literal_eval(re.sub(r'\bnan\b', 'None', value))
            except (ValueError, SyntaxError):
                return value
    return value


def phoenix_frame(path):
    import pyarrow.parquet as pq
    t = pq.read_table(path)
    starts = t['start_time'].cast('int64').to_pylist()
    ends = t['end_time'].cast('int64').to_pylist()
    for r, start, end in zip(t.drop(['start_time', 'end_time']).to_pylist(), starts, ends):
        r = {k: None if v in ('nan', 'None', 'NaT') else v for k, v in r.items()}
        a = {k[len('attributes.'):]: v for k, v in r.items() if k.startswith('attributes.') and v is not None}
        f = of_attributes(a, r['span_kind'])
        if f.get('tool_name') is True:
            f['tool_name'] = r['name']
        messages = undotted(a.get('llm.output_messages')) or []
        f['asked'] = [(c.get('tool_call.function.name'), c.get('tool_call.function.arguments') or '') for m in messages for c in m.get('message.tool_calls') or []]
        events = undotted(r['events'])
        kind, message = exception(list(events) if events is not None else [])
        error = undotted(a.get('error'))
        yield span(trace_id=r['context.trace_id'], span_id=r['context.span_id'], parent_span_id=r['parent_id'], name=r['name'], started_at=start, ended_at=end,
                   status=STATUS[r['status_code']], error_type=kind or (error or {}).get('type') or a.get('error.type'), message=message or r['status_message'], **f)


# --- LangSmith ----------------------------------------------------------------------------------------------------------------------

def langsmith_run(r):
    kind = r['run_type'].lower()
    meta = (r.get('extra') or {}).get('metadata') or {}
    outputs, inputs = r.get('outputs') or {}, r.get('inputs') or {}
    f = {}
    message, reasons, model = None, [], None
    for c in outputs.get('choices') or []:
        message, reasons = c['message'], reasons + [c['finish_reason']]
    for g in (outputs.get('generations') or [[]])[0]:
        message = dict(g['message']['kwargs'])
        message['tool_calls'] = (message.get('tool_calls') or []) + (message.get('invalid_tool_calls') or [])
        reasons.append((g.get('generation_info') or {}).get('finish_reason'))
        model = (outputs.get('llm_output') or {}).get('model_name')
    if outputs.get('stop_reason'):
        reasons.append(outputs['stop_reason'])
    if kind == 'llm':
        f['asked'] = calls(message)
        f['asked'] += [(b['name'], b['input']) for b in outputs.get('content') or [] if isinstance(b, dict) and b.get('type') == 'tool_use']
        f['finish_reasons'] = [x for x in reasons if x]
        f['model'] = outputs.get('model') or model or meta.get('ls_model_name') or inputs.get('model')
        tokens = (r.get('prompt_tokens') or 0, r.get('completion_tokens') or 0)
        used = outputs.get('usage_metadata') or {}
        f['input_tokens'], f['output_tokens'] = tokens if any(tokens) else (used.get('input_tokens'), used.get('output_tokens'))
    if kind == 'tool':
        f['tool_name'] = r['name']
        f['tool_arguments'] = next(iter(inputs.values())) if len(inputs) == 1 and isinstance(next(iter(inputs.values())), str) else inputs
    etype = message = None
    if r.get('error'):
        head = r['error'].split('Traceback (most recent call last)')[0].strip()
        m = re.match(r'^([A-Za-z_][\w.]*)\(', head)
        if m:
            etype = m[1]
            try:
                args = ast.parse(head, mode='eval').body.args
                message = args[0].value if args and isinstance(args[0].value, str) else (ast.unparse(args[0]) if args else '')
            except (SyntaxError, AttributeError):
                message = None
        else:
            message = head
            last = r['error'][r['error'].rfind('\n  File "') + 1:]
            etype = next((l.split(':')[0] for l in last.splitlines() if l and l[0] not in ' \t'), None)
    parent = r.get('parent_run_id')
    if not parent and len(r['dotted_order'].split('.')) > 1:
        parent = r['dotted_order'].split('.')[-2].split('Z', 1)[1]
    return span(trace_id=r['trace_id'], span_id=r['id'], parent_span_id=parent, name=r['name'], started_at=ns(r['start_time']), ended_at=ns(r.get('end_time')),
                status={'success': 'ok', 'error': 'error', 'pending': 'unset'}[r['status'].lower()], error_type=etype, message=message, **f)


def langsmith(path):
    return map(langsmith_run, lines(path))


def langsmith_bulk(path):
    import pyarrow.parquet as pq
    for r in pq.read_table(path).to_pylist():
        for k in ('inputs', 'outputs', 'extra'):
            r[k] = json.loads(r[k]) if r[k] else None
        for k in ('start_time', 'end_time'):
            r[k] = r[k] and r[k].isoformat()
        yield langsmith_run(r)


# --- Datadog ------------------------------------------------------------------------------------------------------------------------

def datadog_span(s):
    meta = s.get('meta') or s
    kind = (meta.get('span') or {}).get('kind') or meta.get('span.kind') or meta.get('span_kind')
    error = meta.get('error') or {k: meta.get('error.' + k) for k in ('type', 'message')}
    tags = dict(t.split(':', 1) for t in s['tags'] if ':' in t)
    etype = error.get('type') or (tags.get('error_type') if s['status'] == 'error' else None)
    start = s['start_ns'] * (1_000_000 if s['start_ns'] < 10**14 else 1)
    f = {'model': meta.get('model_name'), 'input_tokens': s['metrics'].get('input_tokens'), 'output_tokens': s['metrics'].get('output_tokens')}
    reason = (meta.get('metadata') or {}).get('finish_reason')
    f['finish_reasons'] = [reason] if reason else []
    if kind == 'tool':
        f['tool_name'], f['tool_arguments'] = s['name'], (meta.get('input') or {}).get('value', '')
    if kind == 'llm':
        f['asked'] = []
        for m in (meta.get('output') or {}).get('messages') or []:
            for c in m.get('tool_calls') or []:
                a = c['arguments']
                f['asked'].append((c['name'], a['value'] if list(a) == ['value'] else a))
    return span(trace_id=s['trace_id'], span_id=s['span_id'], parent_span_id=None if s['parent_id'] == 'undefined' else s['parent_id'], name=s['name'],
                started_at=start, ended_at=start + s['duration'], status=STATUS[s['status']], error_type=etype, message=error.get('message'), **f)


def datadog(path):
    for r in lines(path):
        if 'body' in r:
            yield from (datadog_span(s) for e in r['body'] for s in e['spans'])
        elif 'data' in r:
            yield from (datadog_span(x['attributes']) for x in r['data'])
        else:
            yield datadog_span(r.get('attributes', r))


# --- Langfuse -----------------------------------------------------------------------------------------------------------------------

def answered(output):
    """The tool calls in an answer that is JSON text: one message or a list of messages."""
    try:
        messages = json.loads(output or 'null')
    except ValueError:
        return []
    messages = messages if isinstance(messages, list) else [messages]
    return [c for m in messages if isinstance(m, dict) for c in calls({'tool_calls': (m.get('tool_calls') or []) + (m.get('invalid_tool_calls') or [])})]


def langfuse_row(r):
    tree = lambda x: json.loads(x) if isinstance(x, str) and x else (dict(x) if isinstance(x, list) and x and isinstance(x[0], tuple) else x or {})
    usage = {k: int(v) for k, v in tree(r.get('usage_details')).items()}
    message = r.get('status_message') or None
    etype = None
    if r['level'] == 'ERROR' and message:
        m = re.match(r'^([A-Za-z_][\w.]*(?:Error|Exception|Violation|Timeout|Cancelled|Exceeded|Group))(:|$)', message)
        etype = m and m[1]
    f = {'model': r.get('provided_model_name'), 'input_tokens': usage.get('input'), 'output_tokens': usage.get('output')}
    if r['type'] == 'TOOL':
        f['tool_name'], f['tool_arguments'] = r['name'], r.get('input') or ''
    if r['type'] == 'GENERATION':
        names, tc = tree(r.get('tool_call_names')) or [], tree(r.get('tool_calls')) or []
        # The extracted tool calls are empty in the older table.
        f['asked'] = [(n, json.loads(c)['arguments']) for n, c in zip(names, tc)] or answered(r.get('output'))
    time = lambda x: x if isinstance(x, int) or x is None else ns(x)
    return span(trace_id=r['trace_id'], span_id=r['id'], parent_span_id=r['parent_observation_id'], name=r['name'], started_at=time(r['start_time']),
                ended_at=time(r['end_time']), status='error' if r['level'] == 'ERROR' else 'unset', error_type=etype, message=message, **f)


def langfuse(path):
    return map(langfuse_row, lines(path))


def langfuse_json(path):
    return map(langfuse_row, json.load(gzip.open(path, 'rt')))


def langfuse_csv(path):
    return map(langfuse_row, csv.DictReader(gzip.open(path, 'rt', newline='')))


def langfuse_parquet(path):
    import pyarrow as pa, pyarrow.parquet as pq
    t = pq.read_table(path)
    for k in ('start_time', 'end_time'):
        t = t.set_column(t.schema.get_field_index(k), k, t[k].cast(pa.timestamp('ns', 'UTC')).cast('int64'))
    return map(langfuse_row, t.to_pylist())


# --- chat ---------------------------------------------------------------------------------------------------------------------------

def chat(path):
    for r in lines(path):
        for i, m in enumerate(r['messages']):
            f = {'asked': calls(m)}
            if m['role'] == 'tool':
                f['tool_name'] = m.get('name')
                for before in r['messages'][:i]:
                    for c in before.get('tool_calls') or []:
                        if c.get('id') == m.get('tool_call_id') and c.get('id'):
                            f['tool_name'], f['tool_arguments'] = f['tool_name'] or c['function']['name'], c['function']['arguments']
            yield span(trace_id=r['trace_id'], span_id=str(i), name=m.get('name') or (f.get('tool_name') if m['role'] == 'tool' else m['role']), started_at=ns(r['started_at']) + i, status='unset', **f)


READERS = [
    (r'otlp/.*(?<!logs)\.jsonl\.gz', otlp), (r'phoenix/rest_spans.*', phoenix_rest), (r'phoenix/rest_otlpv1.*', phoenix_otlpv1),
    (r'phoenix/frame.*', phoenix_frame), (r'langsmith/.*\.jsonl\.gz', langsmith), (r'langsmith/.*\.parquet', langsmith_bulk),
    (r'datadog/.*', datadog), (r'langfuse/.*/observations.*\.jsonl\.gz', langfuse), (r'langfuse/.*/observations.*\.json\.gz', langfuse_json),
    (r'langfuse/.*/observations.*\.csv\.gz', langfuse_csv), (r'langfuse/.*/observations.*\.parquet', langfuse_parquet), (r'chat/runs.jsonl', chat),
]


def readers():
    """The readers of this file and of the modules in `readers/`."""
    sys.modules['expected'] = sys.modules[__name__]
    modules = (importlib.import_module('readers.' + name[:-3]) for name in sorted(os.listdir(os.path.join(HERE, 'readers'))) if name.endswith('.py'))
    return READERS + [entry for module in modules for entry in module.READERS]


def main():
    files = sorted(os.path.relpath(os.path.join(root, f), HERE) for root, _, fs in os.walk(HERE) for f in fs)
    known = readers()
    found = {}
    for name in files:
        folder = name.split('/')[0]
        reader = next((r for pattern, r in known if re.fullmatch(pattern, name)), None)
        if reader and (not sys.argv[1:] or folder in sys.argv[1:]):
            spans = list(reader(os.path.join(HERE, name)))
            found.setdefault(folder, []).extend(dict(file=name, **s) for s in spans)
            print(f'{len(spans):5} {name}')
    for folder, spans in found.items():
        with open(os.path.join(HERE, 'expected', folder + '.jsonl.gz'), 'wb') as raw, gzip.GzipFile('', 'wb', 9, raw, mtime=0) as f:
            f.write(''.join(json.dumps(s, sort_keys=True) + '\n' for s in spans).encode())


if __name__ == '__main__':
    main()
