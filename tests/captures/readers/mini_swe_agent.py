"""Reads trajectories of mini-swe-agent by its `agents/default.py` (2.4.6, and 1.17.5 for `mini-swe-agent-1`)."""

import gzip, json, os, re

from expected import HERE, span

NS = 1_000_000_000


def text_of(content):
    return '\n'.join(c['text'] for c in content) if isinstance(content, list) else content or ''


def nanoseconds(seconds):
    return None if seconds is None else int(seconds * 1e9)


def parse(call, explanation):
    """The step that found no action in an answer."""
    return dict(trace_id=call['trace_id'], service=call['service'], span_id=call['span_id'] + '.parse', parent_span_id=call['span_id'], name='parse', kind='chain',
                status='error', error_type='FormatError', message=explanation, timed=False)


def run(path):
    d = json.load(gzip.open(path, 'rt'))
    # The location of the only record of the file is its id.
    trace_id = 'tests/captures/' + os.path.relpath(path, HERE) + '#L1'
    info, new = d['info'], d['trajectory_format'] != 'mini-swe-agent-1'
    model = info['config']['model']['model_name']
    facts = dict(trace_id=trace_id, service='mini-swe-agent')
    pending, spans, waiting, last = [], [], [], None
    for i, m in enumerate(d['messages']):
        extra = m.get('extra') or {}
        t = nanoseconds(extra.get('timestamp') or m.get('timestamp'))
        role = m.get('role') or ('assistant' if m.get('object') == 'response' else 'tool')
        f = dict(facts, span_id=str(i), parent_span_id='run', kind='llm', name=model, status='unset', timed=t is not None, ended_at=t, started_at=last or t)
        last = t or last
        if role == 'exit':
            break
        if role == 'assistant' or extra.get('interrupt_type') == 'FormatError':
            raw = extra.get('response') or {}
            usage = raw.get('usage') or {}
            f.update(model=raw.get('model') or model, input=pending, input_tokens=usage.get('prompt_tokens'), output_tokens=usage.get('completion_tokens'),
                     finish_reasons=[c['finish_reason'] for c in raw.get('choices') or []])
            pending = []
            if m.get('object') == 'response':
                f['output'] = [['assistant', text_of(o['content'])] for o in m['output'] if o['type'] == 'message']
                f['output'] += [['assistant', ''] for o in m['output'] if o['type'] == 'function_call']
                f['asked'] = [(o['name'], o['arguments']) for o in m['output'] if o['type'] == 'function_call']
            elif role == 'assistant':
                f['output'] = [['assistant', m['content'] or '']]
                f['asked'] = [(c['function']['name'], c['function']['arguments']) for c in m.get('tool_calls') or []]
            else:
                answer = raw['choices'][0]['message']
                f['output'] = [['assistant', answer['content'] or '']]
                pending = [[role, text_of(m['content'])]]
            spans.append(f)
            if role != 'assistant':
                spans.append(parse(f, text_of(m['content'])))
            actions = extra.get('actions')
            if actions is None and role == 'assistant':
                blocks = re.findall(r'```bash\s*\n(.*?)\n```', m['content'], re.S)
                actions = [{'command': blocks[0].strip()}] if len(blocks) == 1 else []
            for n, a in enumerate(actions or []):
                tool = dict(facts, span_id=f'{i}.{n}', parent_span_id='run', kind='tool', name='bash', status='unset', timed=t is not None, tool_name='bash',
                            tool_arguments={'command': a['command']}, started_at=None if t is None else t + 1, call=a.get('tool_call_id'))
                if 'COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT' in a['command']:
                    tool.update(kind='chain', name='submit', tool_name=None)
                spans.append(tool)
                waiting.append(tool)
            continue
        content = m.get('output') if m.get('type') == 'function_call_output' else text_of(m.get('content'))
        call = m.get('tool_call_id') or m.get('call_id')
        if waiting and (extra.get('returncode') is not None or role == 'tool' or not new):
            tool = next(w for w in waiting if call is None or w['call'] == call)
            waiting.remove(tool)
            tool.update(tool_result=content, ended_at=t)
            wrote = (extra.get('raw_output') or '').split('\n')
            wrote = [l.strip() for l in wrote if l.strip()]
            if extra.get('returncode') and wrote:
                tool.update(status='error', message=f"{'code execution failed, ' * ('Traceback (most recent call last)' in extra['raw_output'])}returncode {extra['returncode']}: {wrote[-1]}")
            if extra.get('exception_info'):
                tool.update(status='error', message=extra['exception_info'], error_type=extra.get('exception_type'))
        elif not new and spans and spans[-1]['kind'] == 'llm' and content:
            spans.append(parse(spans[-1], content))
        pending.append([role, content])
    status = info['exit_status']
    root = dict(facts, span_id='run', name=d.get('instance_id') or info['config']['agent_type'].split('.')[-1], kind='agent', status='unset', timed=False)
    if status == 'Submitted':
        if waiting:
            waiting[0]['tool_result'] = info['submission']
    else:
        root.update(status='error', error_type=status)
        exit = d['messages'][-1] if d['messages'] and d['messages'][-1].get('role') == 'exit' else {}
        stack = (exit.get('extra') or {}).get('traceback') or info.get('traceback')
        config = info['config']['agent']
        if stack:
            text = exit.get('content') or info['submission']
            kind, _, rest = text.partition(': ')
            root.update(error_type=kind, message=rest)
            spans.append(dict(facts, span_id=str(len(d['messages'])), parent_span_id='run', kind='llm', name=model, model=model, status='error', error_type=kind, message=rest,
                              input=pending, timed=False))
        elif status == 'LimitsExceeded' and config['step_limit'] and info['model_stats']['api_calls'] >= config['step_limit']:
            root['message'] = f"LimitsExceeded: ended after {info['model_stats']['api_calls']} model calls (step_limit {config['step_limit']})"
        else:
            root['message'] = exit.get('content') or status
    spans.append(root)
    for f in spans:
        if f['kind'] == 'chain':
            f.pop('tool_result', None)
        s = span(**f)
        # Only messages have times; the others follow from them.
        if not f['timed'] or f['started_at'] is None:
            del s['started_at'], s['ended_at']
        elif f['kind'] in ('tool', 'chain'):
            del s['ended_at']
        yield s


READERS = [(r'mini_swe_agent/.*\.traj\.json\.gz', run)]
