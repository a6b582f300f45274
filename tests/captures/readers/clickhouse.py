"""Reads the tables of the Collector's ClickHouse exporter, by its table definitions and ClickHouse's output formats."""

import ast, csv, gzip, json, re
from datetime import datetime, timezone

from expected import exception, lines, of_attributes, span

STATUS = {'OK': 'ok', 'ERROR': 'error', 'UNSET': 'unset'}


def nanoseconds(text):
    seconds, fraction = text.split('.')
    return int(datetime.strptime(seconds, '%Y-%m-%d %H:%M:%S').replace(tzinfo=timezone.utc).timestamp()) * 10**9 + int(fraction)


def flat(tree, prefix=''):
    """The attributes in the object of a JSON column."""
    out = {}
    for k, v in tree.items():
        out.update(flat(v, prefix + k + '.') if isinstance(v, dict) else {prefix + k: v})
    return out


def attributes(cell):
    if isinstance(cell, list):
        cell = dict(cell)
    if isinstance(cell, str):
        cell = json.loads(cell)
    return flat(cell)


def row(r, start=None):
    a = attributes(r['SpanAttributes'])
    resource = attributes(r['ResourceAttributes'])
    kind, message = exception([{'name': n, 'attributes': attributes(x)} for n, x in zip(r['Events.Name'], r['Events.Attributes'])])
    reasons = a.get('gen_ai.response.finish_reasons')
    a['gen_ai.response.finish_reasons'] = json.loads(reasons) if isinstance(reasons, str) and reasons.startswith('[') else reasons
    f = of_attributes(a)
    if f.get('tool_name') is True:
        f['tool_name'] = re.sub(r'^execute_tool |\.tool$', '', r['SpanName'])
    start = start or nanoseconds(r['Timestamp'])
    return span(trace_id=r['TraceId'], span_id=r['SpanId'], parent_span_id=r['ParentSpanId'], name=r['SpanName'], started_at=start,
                ended_at=start + int(r['Duration']), status=STATUS[r['StatusCode'].upper().replace('STATUS_CODE_', '')],
                error_type=kind or a.get('error.type'), message=message or r['StatusMessage'], service=r['ServiceName'] or resource['service.name'], **f)


def json_each_row(path):
    return map(row, lines(path))


def compact(path):
    result = json.load(gzip.open(path, 'rt'))
    names = [c['name'] for c in result['meta']]
    return [row(dict(zip(names, cells))) for cells in result['data']]


def csv_with_names(path):
    for r in csv.DictReader(gzip.open(path, 'rt', newline='')):
        # ClickHouse's notation of maps and lists is also Python's, except that it escapes a slash after a backslash.
        for k in ('SpanAttributes', 'ResourceAttributes', 'Events.Name', 'Events.Attributes'):
            r[k] = ast.literal_eval(r[k])
        yield row(r)


def parquet(path):
    import pyarrow.parquet as pq
    t = pq.read_table(path)
    starts = t['Timestamp'].cast('int64').to_pylist()
    return [row(r, start) for r, start in zip(t.drop(['Timestamp', 'Events.Timestamp']).to_pylist(), starts)]


def signoz(path):
    for r in lines(path):
        events = [json.loads(e) for e in r['events']]
        joined = {'SpanAttributes': {**r['attributes_string'], **r['attributes_number'], **r['attributes_bool']}, 'ResourceAttributes': r['resources_string'],
                  'Events.Name': [e['name'] for e in events], 'Events.Attributes': [e['attributeMap'] for e in events], 'SpanName': r['name'], 'Timestamp': r['timestamp'],
                  'TraceId': r['trace_id'], 'SpanId': r['span_id'], 'ParentSpanId': r['parent_span_id'], 'Duration': r['duration_nano'], 'StatusCode': r['status_code_string'],
                  'StatusMessage': r['status_message'], 'ServiceName': ''}
        yield row(joined)


READERS = [(r'clickhouse/signoz.*', signoz), (r'clickhouse/otel_traces.*\.jsonl\.gz', json_each_row), (r'clickhouse/.*compact.*', compact), (r'clickhouse/.*\.csv\.gz', csv_with_names),
           (r'clickhouse/.*\.parquet', parquet)]
