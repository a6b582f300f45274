"""Reads rows of an evaluation and trajectories of OpenHands by `openhands/events/serialization` (0.59)."""

import gzip, json, os

from expected import HERE, lines, ns, span


def events(history, facts, parent):
    pending, calls = [], {}
    for e in history:
        t = ns(e['timestamp'])
        f = dict(facts, span_id=str(e['id']), parent_span_id=parent, started_at=t, ended_at=t, status='unset')
        meta = e.get('tool_call_metadata') or {}
        if 'action' in e:
            if e['action'] == 'system' or e['source'] == 'user':
                message = ['system' if e['action'] == 'system' else 'user', e['args']['content']]
                if parent:
                    pending.append(message)
                else:
                    yield span(**f, kind='other', name='message', input=[message])
                continue
            response = meta.get('model_response') or {}
            choice = (response.get('choices') or [{}])[0]
            asked = (choice.get('message') or {}).get('tool_calls') or []
            if asked and asked[0]['id'] != meta['tool_call_id']:
                continue
            usage = response.get('usage') or {}
            if asked:
                output, wanted = choice['message']['content'] or '', [(c['function']['name'], c['function']['arguments']) for c in asked]
            else:
                output, wanted = e['args'].get('thought') or '', [(e['action'], e['args'])]
            for c in asked:
                calls[c['id']] = c['function']['arguments']
            if not asked:
                calls[str(e['id'])] = e['args']
            yield span(**f, kind='llm', name=response.get('model') or 'model', model=response.get('model'), input=pending, output=[['assistant', output]], asked=wanted,
                       finish_reasons=[choice.get('finish_reason')], input_tokens=usage.get('prompt_tokens'), output_tokens=usage.get('completion_tokens'))
            pending = []
        elif e['observation'] == 'agent_state_changed':
            if e['extras']['agent_state'] == 'error':
                f.update(status='error', message=e['extras']['reason'])
                yield span(**f, kind='chain', name='agent_state_changed')
        else:
            name, call = meta.get('function_name') or e['observation'], meta.get('tool_call_id') or str(e['cause'])
            if e['observation'] == 'error':
                f.update(status='error', message=e['content'])
            yield span(**f, kind='tool', name=name, tool_name=name, tool_arguments=calls[call], tool_result=e['content'])
            # Each event of a trajectory is a record of its own.
            pending += [['tool', e['content']]] if parent else []


def location(path):
    return 'tests/captures/' + os.path.relpath(path, HERE)


def rows(path):
    for number, r in enumerate(lines(path), 1):
        facts = dict(trace_id=f'{location(path)}#L{number}', service='openhands')
        times = [ns(e['timestamp']) for e in r['history']]
        root = span(**facts, span_id='run', name=r['instance_id'], kind='agent', started_at=None, ended_at=None, status='error' if r['error'] else 'unset', message=r['error'])
        if r['error']:
            root['error_type'], root['message'] = r['error'].split(': ', 1)
        # From the first to the last step; messages of the user are none.
        del root['started_at'], root['ended_at']
        yield root
        yield from events(r['history'], facts, 'run')


def trajectory(path):
    yield from events(json.load(gzip.open(path, 'rt')), dict(trace_id=location(path) + '#L1', service='openhands'), None)


READERS = [(r'openhands/output.jsonl.gz', rows), (r'openhands/trajectory.json.gz', trajectory)]
