"""Reads rows of Logfire's `records`, by its reference of the columns and its guide to the query API."""

import csv, gzip, json

from expected import lines, ns, of_attributes, span


def tree(cell):
    return json.loads(cell) if isinstance(cell, str) and cell[:1] in ('[', '{') else cell


def asked(messages):
    return [(p['name'], p.get('arguments')) for m in tree(messages) or [] for p in m.get('parts') or [] if p.get('type') == 'tool_call']


def cause(stack):
    """The exception that led to the one of the row: the first of its stack trace, after the last frame."""
    text = stack.split('\n\nThe above exception was')[0].rstrip()
    all_lines = text.split('\n')
    frame = max(i for i, line in enumerate(all_lines) if line.startswith('  File "'))
    start = next(i for i in range(frame + 1, len(all_lines)) if not all_lines[i].startswith(' '))
    return '\n'.join(all_lines[start:]).split(': ', 1) if ': ' in all_lines[start] else ('\n'.join(all_lines[start:]).split(':')[0], None)


def row(r):
    r = {k: None if v == '' and k != 'exception_message' else v for k, v in r.items()}
    a = tree(r['attributes']) or {}
    f = of_attributes(a)
    request, response = tree(a.get('request_data')) or {}, tree(a.get('response_data')) or {}
    if a.get('gen_ai.output.messages') is not None:
        f['asked'] = asked(a['gen_ai.output.messages'])
    if response.get('message'):
        f['asked'] = [(c['function']['name'], c['function']['arguments']) for c in response['message'].get('tool_calls') or []]
    f['model'] = f['model'] or request.get('model')
    if a.get('gen_ai.operation.name') == 'invoke_agent':
        f['asked'] = []
    if f.get('tool_name'):
        f['tool_arguments'] = a.get('gen_ai.tool.call.arguments') or a.get('tool_arguments') or ''
    pending = r['kind'] == 'pending_span'
    level = int(r['level'])
    status = {'ERROR': 'error', 'OK': 'ok', 'UNSET': 'unset'}[r['otel_status_code']]
    message = r['exception_message'] or r['otel_status_message']
    kind = r['exception_type'] or a.get('error.type')
    if level >= 17 and not pending:
        # A log of the level error is a failure, and says what failed.
        status, message = 'error', message or r['message']
    if 'exceeded max retries' in (message or '') and a.get('gen_ai.operation.name') == 'invoke_agent':
        kind, message = cause(r['exception_stacktrace'])
    return span(trace_id=r['trace_id'], span_id=r['span_id'], parent_span_id=r['parent_span_id'], name=r['span_name'], started_at=ns(r['start_timestamp']),
                ended_at=None if pending else ns(r['end_timestamp']), status=status, error_type=kind, message=message,
                service=r['service_name'], **f)


def of_rows(rows):
    """The spans among the rows; a pending span counts if its span never ended, and an event of OpenTelemetry, whose body is an object, is not a span."""
    rows = [r for r in rows if r['kind'] != 'span_event' and not isinstance(tree(r.get('log_body')), (dict, list))]
    ended = {(r['trace_id'], r['span_id']) for r in rows if r['kind'] != 'pending_span'}
    return [row(r) for r in rows if r['kind'] != 'pending_span' or (r['trace_id'], r['span_id']) not in ended]


def plain(path):
    return of_rows(lines(path))


def version_1_rows(path):
    return of_rows(json.load(gzip.open(path, 'rt'))['rows'])


def version_1_columns(path):
    columns = json.load(gzip.open(path, 'rt'))['columns']
    return of_rows(dict(zip([c['name'] for c in columns], cells)) for cells in zip(*(c['values'] for c in columns)))


def version_2(path):
    return of_rows(json.load(gzip.open(path, 'rt'))['data'])


def ndjson(path):
    return of_rows([r for message in lines(path) if message['type'] == 'data' for r in message['rows']])


def csv_rows(path):
    return of_rows(csv.DictReader(gzip.open(path, 'rt', newline='')))


def arrow(path):
    import pyarrow.parquet as pq
    t = pq.read_table(path)
    for k in ('start_timestamp', 'end_timestamp'):
        t = t.set_column(t.schema.get_field_index(k), k, __import__('pyarrow').array([v.isoformat() for v in t[k].to_pylist()]))
    return of_rows(t.to_pylist())


READERS = [(r'logfire/rows\.jsonl\.gz', plain), (r'logfire/v1_rows.*', version_1_rows), (r'logfire/v1_columns.*', version_1_columns), (r'logfire/v2_response\.json\.gz', version_2),
           (r'logfire/v2_stream.*', ndjson), (r'logfire/.*\.csv\.gz', csv_rows), (r'logfire/.*\.parquet', arrow)]
