"""Traces of Langfuse's API, and the batches that its SDKs sent before version 3."""

import json, re

from expected import calls, lines, ns, requested_tools, span

KIND = {'GENERATION': 'llm', 'SPAN': 'chain', 'EVENT': 'other', 'TOOL': 'tool', 'AGENT': 'agent'}


def text_of(content):
    return ''.join(part.get('text', '') for part in content) if isinstance(content, list) else content or ''


def one(o):
    message = o.get('statusMessage')
    failed = o.get('level') == 'ERROR'
    kind = re.match(r'([A-Za-z_][\w.]*(?:Error|Exception|Timeout)):', message or '') if failed else None
    f = {'kind': KIND[o['type']], 'model': o.get('model')}
    if o['type'] == 'GENERATION':
        usage = o.get('usageDetails') or o.get('usage') or {}
        counted = [next((usage[k] for k in ks if usage.get(k) is not None), None) for ks in (('input', 'prompt_tokens', 'promptTokens'), ('output', 'completion_tokens', 'completionTokens'))]
        f['input_tokens'], f['output_tokens'] = counted if any(counted) else (None, None)
        body = o.get('input')
        messages = body.get('messages') if isinstance(body, dict) else body if isinstance(body, list) else None
        f['input'] = [[m['role'], text_of(m.get('content'))] for m in messages or []]
        answer = o.get('output')
        if isinstance(answer, dict) and ('role' in answer or 'tool_calls' in answer):
            f['asked'] = calls(answer)
            f['output'] = [[answer.get('role', 'assistant'), text_of(answer.get('content'))]]
    return span(trace_id=o['traceId'], span_id=o['id'], parent_span_id=o.get('parentObservationId'), name=o.get('name') or '', started_at=ns(o['startTime']), ended_at=ns(o.get('endTime')),
                status='error' if failed else 'unset', error_type=kind and kind[1], message=message, **f)


def served(path):
    return requested_tools((one(o), o.get('input')) for t in lines(path) for o in t['observations'])


def batches(path):
    # The start and the end of an observation may be in different batches.
    found = {}
    for event in (event for batch in lines(path) for event in batch['batch']):
        kind = event['type'].split('-')[0]
        if kind in ('span', 'generation', 'event'):
            body = {k: v for k, v in event['body'].items() if v is not None}
            found.setdefault(body['id'], {'type': kind.upper()}).update(body)
    return requested_tools((one(o), o.get('input')) for o in found.values())


READERS = [(r'langfuse_api/traces.*\.jsonl\.gz', served), (r'langfuse_api/ingestion.*\.jsonl\.gz', batches)]
