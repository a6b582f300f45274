"""Reads Jaeger's JSON: traces of the query API and the UI, and span documents of Elasticsearch (`internal/uimodel`, `dbmodel`)."""

import gzip, json, re

from expected import exception, lines, of_attributes, span

NUMBERS = {'int64': int, 'float64': float}


def value(field):
    found = field['value']
    if isinstance(found, str) and field.get('type') == 'bool':
        return found == 'true'
    if isinstance(found, str) and field.get('type') in NUMBERS:
        return NUMBERS[field['type']](found)
    return found


def tags(holder):
    out = {t['key']: value(t) for t in holder.get('tags') or []}
    out.update({k.replace('@', '.'): v for k, v in (holder.get('tag') or {}).items()})
    return out


def as_list(text):
    return json.loads(text) if isinstance(text, str) and text.startswith('[') else text


def one(s, process):
    a = tags(s)
    failed, code = a.pop('error', False), a.pop('otel.status_code', None)
    events = []
    for log in s.get('logs') or []:
        fields = {f['key']: value(f) for f in log['fields']}
        events.append({'name': fields.pop('event', ''), 'attributes': fields})
    kind, message = exception(events)
    a['gen_ai.response.finish_reasons'] = as_list(a.get('gen_ai.response.finish_reasons'))
    f = of_attributes(a)
    if f.get('tool_name') is True:
        f['tool_name'] = re.sub(r'^execute_tool |\.tool$', '', s['operationName'])
    parents = [r['spanID'] for r in s.get('references') or [] if r['refType'] == 'CHILD_OF' and r['traceID'] == s['traceID']]
    return span(trace_id=s['traceID'].zfill(32), span_id=s['spanID'].zfill(16), parent_span_id=s.get('parentSpanID') or (parents[0].zfill(16) if parents else None),
                name=s['operationName'], started_at=s['startTime'] * 1000, ended_at=(s['startTime'] + s['duration']) * 1000,
                status='error' if failed is True else {'OK': 'ok', 'ERROR': 'error'}.get(code, 'unset'), error_type=kind or a.get('error.type'),
                message=message or a.get('otel.status_description'), service=process['serviceName'], **f)


def trace(t):
    return [one(s, t['processes'][s['processID']]) for s in t['spans']]


def traces(path):
    return (s for t in lines(path) for s in trace(t))


def page(path):
    return (s for t in json.load(gzip.open(path, 'rt'))['data'] for s in trace(t))


def documents(path):
    return (one(s, s['process']) for s in lines(path) if 'spanID' in s)


READERS = [(r'jaeger/api_traces.*', traces), (r'jaeger/ui_download.*', page), (r'jaeger/elasticsearch.*', documents)]
