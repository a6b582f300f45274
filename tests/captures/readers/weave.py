"""Calls of Weave, as its trace server returns them and as a flattened table."""

import csv, gzip, json

from expected import calls, lines, ns, requested_tools, span


def text_of(content):
    return ''.join(part.get('text', '') for part in content) if isinstance(content, list) else content or ''


def one(c):
    op = c['op_name'].split('/op/')[-1].rsplit(':', 1)[0]
    kind = {'openai.chat.completions.create': 'llm', 'openai.responses.create': 'llm', 'openai.embeddings.create': 'embedding'}.get(op, 'other')
    summary, output, inputs = c.get('summary') or {}, c.get('output'), c.get('inputs') or {}
    f = {'kind': kind, 'service': c['project_id'].split('/')[1]}
    if kind == 'llm':
        answer = output if isinstance(output, dict) else {}
        f['model'] = answer.get('model') or inputs.get('model')
        choices = answer.get('choices') or []
        f['finish_reasons'] = [x.get('finish_reason') for x in choices]
        f['asked'] = [y for x in choices for y in calls(x['message'])]
        f['input'] = [[m['role'], text_of(m.get('content'))] for m in inputs.get('messages') or []]
        f['output'] = [[x['message']['role'], text_of(x['message'].get('content'))] for x in choices]
        usage = next(iter((summary.get('usage') or {}).values()), {})
        f['input_tokens'], f['output_tokens'] = usage.get('prompt_tokens'), usage.get('completion_tokens')
    failed = json.loads(c['exception']) if c.get('exception') else {}
    word = (summary.get('weave') or {}).get('status')
    return span(trace_id=c['trace_id'], span_id=c['id'], parent_span_id=c.get('parent_id'), name=c.get('display_name') or op, started_at=ns(c['started_at']), ended_at=ns(c.get('ended_at')),
                status='error' if failed else {'success': 'ok', 'descendant_error': 'ok', 'error': 'error'}.get(word, 'unset'), error_type=failed.get('type'), message=failed.get('message'), **f)


def served(path):
    return requested_tools((one(c), c.get('inputs')) for c in lines(path))


def table(path):
    def nested(row):
        tree = {}
        for name, text in row.items():
            if text == '':
                continue
            try:
                value = json.loads(text) if text[:1] in '[{' and name != 'exception' or text[:1].isdigit() and text.isdigit() else text
            except ValueError:
                value = text
            parts = name.split('.')
            # The name of a model contains dots.
            if parts[:2] == ['summary', 'usage']:
                parts = ['summary', 'usage', '.'.join(parts[2:-1]), parts[-1]]
            here = tree
            for part in parts[:-1]:
                here = here.setdefault(part, {})
            here[parts[-1]] = value
        return tree
    rows = (nested(row) for row in csv.DictReader(gzip.open(path, 'rt', newline='')))
    return requested_tools((one(c), c.get('inputs')) for c in rows)


READERS = [(r'weave/.*\.jsonl\.gz', served), (r'weave/.*\.csv\.gz', table)]
