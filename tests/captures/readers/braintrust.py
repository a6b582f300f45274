"""Rows of Braintrust, as its API and its SDKs write them."""

import csv, gzip, json, re

from expected import calls, lines, ns, span


def failure(error):
    """Type and message of an error: a Python traceback, JavaScript's message and stack, or an object."""
    if not error:
        return None, None
    if isinstance(error, dict):
        return error.get('name'), error.get('message')
    if error.startswith('Traceback'):
        last = error[error.rfind('\n  File "') + 1:]
        end = [i for i, line in enumerate(last.split('\n')) if line and not line.startswith(' ')][0]
        text = '\n'.join(last.split('\n')[end:]).strip()
        kind, _, message = text.partition(':')
        return kind, message.strip()
    message, _, rest = error.partition('\n\n')
    kind = re.match(r'([A-Za-z]*Error):', rest)
    # The SDK of OpenAI does not name its classes; failsift names the package instead.
    first_frame = rest.partition('\n    at ')[2].partition('\n')[0]
    named = kind and ('openai.Error' if kind[1] == 'Error' and '/node_modules/openai/' in first_frame else kind[1])
    return named, message.strip()


def text_of(content):
    if isinstance(content, list):
        return ''.join(part.get('text', '') for part in content)
    return content or ''


def one(r):
    kind = (r.get('span_attributes') or {}).get('type')
    output, metrics, meta = r.get('output'), r.get('metrics') or {}, r.get('metadata') or {}
    f = {'kind': {'llm': 'llm', 'tool': 'tool', None: 'other'}.get(kind, 'chain')}
    if kind == 'llm' and isinstance(output, dict) and 'embedding_length' in output:
        f['kind'] = 'embedding'
    f['model'] = meta.get('model')
    if f['kind'] == 'llm':
        choices = output if isinstance(output, list) else []
        if choices and 'message' in choices[0]:
            f['finish_reasons'] = [c.get('finish_reason') for c in choices]
            f['asked'] = [c for x in choices for c in calls(x['message'])]
            f['output'] = [[c['message']['role'], text_of(c['message'].get('content'))] for c in choices]
        else:
            f['finish_reasons'] = [(meta.get('incomplete_details') or {}).get('reason')]
            f['output'] = [[m['role'], text_of(m['content'])] for m in choices]
        f['input_tokens'], f['output_tokens'] = metrics.get('prompt_tokens'), metrics.get('completion_tokens')
        if isinstance(r.get('input'), list):
            f['input'] = [[m['role'], text_of(m.get('content'))] for m in r['input']]
    if kind == 'tool':
        arguments = r['input'][0] if isinstance(r.get('input'), list) and len(r['input']) == 1 else r.get('input')
        f['tool_name'], f['tool_arguments'] = r['span_attributes']['name'], arguments
        f['tool_result'] = json.dumps(output) if output is not None and not isinstance(output, str) else output
    error_type, message = failure(r.get('error'))
    time = lambda x: int(x * 1e9) if x is not None else None
    return span(trace_id=r.get('root_span_id') or r['id'], span_id=r.get('span_id') or r['id'], parent_span_id=(r.get('span_parents') or [None])[0], name=(r.get('span_attributes') or {}).get('name', ''),
                started_at=time(metrics.get('start')) or ns(r['created']), ended_at=time(metrics.get('end')), status='error' if r.get('error') else 'unset',
                error_type=error_type, message=message, **f)


def rows(path):
    return map(one, lines(path))


def page(path):
    return map(one, json.load(gzip.open(path, 'rt'))['events'])


def download(path):
    def cell(name, text):
        if text == '':
            return None
        try:
            return json.loads(text) if name not in ('id', 'span_id', 'root_span_id') else text
        except ValueError:
            return text
    for row in csv.DictReader(gzip.open(path, 'rt', newline='')):
        yield one({k: cell(k, v) for k, v in row.items()})


READERS = [(r'braintrust/.*\.page\.json\.gz', page), (r'braintrust/.*\.jsonl\.gz', rows), (r'braintrust/.*\.csv\.gz', download)]
