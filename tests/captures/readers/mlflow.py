"""Traces of MLflow 2.17 and 3.17, and the data frames of their search_traces()."""

import ast, base64, csv, gzip, json

from expected import STATUS, calls, lines, span

KIND = {'CHAT_MODEL': 'llm', 'LLM': 'llm', 'TOOL': 'tool', 'RETRIEVER': 'retriever', 'AGENT': 'agent', 'EMBEDDING': 'embedding', 'CHAIN': 'chain'}


def plain(text):
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


def hex_id(text):
    """An id in base64 as hex; 3.5 wrote hex."""
    return text if not text or len(text) == 16 else base64.b64decode(text).hex()


def message_text(message):
    content = message.get('content')
    if isinstance(content, list):
        return ''.join(part.get('text', '') for part in content)
    return content or ''


def one(s, trace_id):
    old = 'context' in s
    a = {k: plain(v) for k, v in s['attributes'].items()}
    kind = KIND.get(a.get('mlflow.spanType'), 'other')
    failure = next((e['attributes'] for e in s['events'] if e['name'] == 'exception'), {})
    status = STATUS[s['status_code'] if old else s['status']['code']]
    f = {'kind': kind, 'model': a.get('mlflow.llm.model')}
    inputs, outputs = a.get('mlflow.spanInputs'), a.get('mlflow.spanOutputs')
    if kind == 'llm':
        body = inputs if isinstance(inputs, dict) else {}
        answer = outputs if isinstance(outputs, dict) else {}
        f['model'] = a.get('mlflow.llm.model') or answer.get('model') or body.get('model')
        choices = answer.get('choices') or []
        f['finish_reasons'] = [c['finish_reason'] for c in choices]
        f['asked'] = [c for x in choices for c in calls(x['message'])]
        usage = answer.get('usage') or {}
        f['input_tokens'] = usage.get('prompt_tokens', usage.get('input_tokens'))
        f['output_tokens'] = usage.get('completion_tokens', usage.get('output_tokens'))
        f['input'] = [[m['role'], message_text(m)] for m in body.get('messages') or []]
        f['output'] = [[c['message']['role'], message_text(c['message'])] for c in choices]
        if answer.get('object') == 'response':
            f['finish_reasons'] = [(answer.get('incomplete_details') or {}).get('reason') or answer['status']]
            f['input'] = [['system', body['instructions']], ['user', body['input']]]
            f['output'] = [[o['role'], message_text(o)] for o in answer['output'] if o['type'] == 'message']
        chunks = [plain(e['attributes']['mlflow.chunk.value']) for e in s['events'] if e['name'].startswith('mlflow.chunk')]
        if chunks:
            # MLflow joins only the text, so what counts is what the chunks say.
            f.update(streamed(chunks))
        counted = a.get('mlflow.chat.tokenUsage') or {}
        f['input_tokens'], f['output_tokens'] = counted.get('input_tokens', f['input_tokens']), counted.get('output_tokens', f['output_tokens'])
    if kind == 'tool':
        f['tool_name'] = a['mlflow.spanFunctionName']
        f['tool_arguments'] = inputs
        f['tool_result'] = None if outputs is None else outputs if isinstance(outputs, str) else json.dumps(outputs)
    parent = s.get('parent_id') if old else hex_id(s['parent_span_id'])
    return span(trace_id=trace_id, span_id=s['context']['span_id'] if old else hex_id(s['span_id']), parent_span_id=parent, name=s['name'],
                started_at=s['start_time'] if old else s['start_time_unix_nano'], ended_at=s['end_time'] if old else s['end_time_unix_nano'], status=status,
                error_type=failure.get('exception.type'), message=failure.get('exception.message') or (s['status_message'] if old else s['status']['message']), **f)


def streamed(chunks):
    """The answer that the chunks of OpenAI's API make up."""
    text, reasons, asked = '', [], {}
    for chunk in chunks:
        for choice in chunk.get('choices') or []:
            delta = choice.get('delta') or {}
            text += delta.get('content') or ''
            reasons += [choice['finish_reason']] if choice.get('finish_reason') else []
            for part in delta.get('tool_calls') or []:
                call = asked.setdefault(part['index'], ['', ''])
                call[0] += part['function'].get('name') or ''
                call[1] += part['function'].get('arguments') or ''
    return {'finish_reasons': reasons, 'asked': [tuple(asked[i]) for i in sorted(asked)], 'output': [['assistant', text]] if text or asked or reasons else []}


def traces(path):
    for t in lines(path):
        trace_id = t['info'].get('trace_id') or t['info']['request_id']
        yield from (one(s, trace_id) for s in t['data']['spans'])


def artifact(path):
    for s in json.load((gzip.open if path.endswith('.gz') else open)(path))['spans']:
        yield one(s, json.loads(s['attributes']['mlflow.traceRequestId']))


def frame_json(path):
    for row in lines(path):
        yield from (one(s, row['request_id']) for s in row['spans'])


def frame_csv(path):
    for row in csv.DictReader(gzip.open(path, 'rt', newline='')):
        yield from (one(s, row.get('trace_id') or row['request_id']) for s in ast.literal_eval(row['spans']))


def frame_parquet(path):
    import pyarrow.parquet as pq
    for row in pq.read_table(path).to_pylist():
        yield from (one(s, row['trace_id']) for s in json.loads(row['spans']))


READERS = [(r'mlflow/.*traces\.jsonl\.gz', traces), (r'mlflow/.*artifact\.json(\.gz)?', artifact), (r'mlflow/.*frame\.jsonl\.gz', frame_json),
           (r'mlflow/.*frame\.csv\.gz', frame_csv), (r'mlflow/.*frame\.parquet', frame_parquet)]
