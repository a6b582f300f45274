"""Segment documents of X-Ray, one per line or in the answer of BatchGetTraces."""

import gzip, json

from expected import span
from readers.opentelemetry_sdk import facts, named


def ns(seconds):
    """X-Ray's times are seconds with microseconds."""
    return round(seconds * 1e6) * 1000


def spans(document, trace_id, parent):
    a = document['metadata']['default']
    kind, message = next(((e['type'], e['message']) for e in document.get('cause', {}).get('exceptions', [])), (None, None))
    failed = any(document.get(k) for k in ('error', 'fault', 'throttle'))
    yield span(trace_id=trace_id, span_id=document['id'], parent_span_id=parent, name=document['name'], started_at=ns(document['start_time']), ended_at=ns(document['end_time']),
               status='error' if failed else 'unset', error_type=kind, message=message, service='acme-support', **named(facts(a), document['name']))
    for child in document.get('subsegments', []):
        yield from spans(child, trace_id, document['id'])


def xray(path):
    with gzip.open(path, 'rt') as f:
        text = f.read()
    if path.endswith('.jsonl.gz'):
        documents = [json.loads(line) for line in text.splitlines()]
    else:
        documents = [json.loads(s['Document']) for t in json.loads(text)['Traces'] for s in t['Segments']]
    for document in documents:
        yield from spans(document, document['trace_id'], None)


READERS = [(r'xray/.*', xray)]
