"""Spans in Zipkin's JSON, as the exporters of OpenTelemetry post them: one list per request."""

import json

from expected import exception, lines, span
from readers.opentelemetry_sdk import facts, named


def event(annotation):
    """An event with its attributes, which Python writes as JSON and JavaScript leaves out."""
    value = annotation['value']
    if value.startswith('{'):
        (name, attributes), = json.loads(value).items()
        return {'name': name, 'attributes': attributes}
    return {'name': value, 'attributes': {}}


def zipkin(path):
    for request in lines(path):
        for s in request:
            a = {k: v for k, v in s['tags'].items() if k not in ('error', 'otel.status_code')}
            kind, message = exception([event(x) for x in s.get('annotations') or []])
            yield span(trace_id=s['traceId'], span_id=s['id'], parent_span_id=s.get('parentId'), name=s['name'], started_at=s['timestamp'] * 1000,
                       ended_at=(s['timestamp'] + s['duration']) * 1000, status=s['tags'].get('otel.status_code', 'unset').lower(), error_type=kind,
                       message=message or s['tags'].get('error'), service=s['localEndpoint']['serviceName'], **named(facts(a), s['name']))


READERS = [(r'zipkin/.*', zipkin)]
