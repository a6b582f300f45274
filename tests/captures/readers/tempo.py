"""Answers of Grafana Tempo: OTLP with other keys around it, and ids in base64."""

from expected import attributes, lines, otlp_span
from readers.opentelemetry_sdk import facts


def tempo(path):
    for page in lines(path):
        for group in page.get('batches') or page['trace']['resourceSpans']:
            service = attributes(group['resource']['attributes'])['service.name']
            for scope in group['scopeSpans']:
                for s in scope['spans']:
                    found = facts(attributes(s.get('attributes')))
                    yield dict(otlp_span(s), service=service, **{k: found[k] for k in ('kind', 'input', 'output', 'tool_result', 'finish_reasons') if k in found})


READERS = [(r'tempo/.*', tempo)]
