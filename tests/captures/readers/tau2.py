"""Reads results of tau2-bench by `src/tau2/data_model` (0.2.0)."""

import gzip, json

from expected import ns, span


def results(path):
    d = json.load(gzip.open(path, 'rt'))
    domain, llm = d['info']['environment_info']['domain_name'], d['info']['agent_info']['llm']
    for s in d['simulations']:
        facts = dict(trace_id=s['id'], service=domain, status='unset')
        root = dict(facts, span_id='simulation', name='task ' + s['task_id'], kind='agent', started_at=ns(s['start_time']), ended_at=ns(s['end_time']))
        if s['termination_reason'] not in ('user_stop', 'agent_stop'):
            root.update(status='error', error_type=s['termination_reason'], message=s['termination_reason'])
        yield span(**root)
        last, pending, calls = ns(s['start_time']), [], {}
        for i, m in enumerate(s['messages']):
            t = ns(m['timestamp'])
            f = dict(facts, span_id=str(i), parent_span_id='simulation', started_at=last, ended_at=t)
            last = t
            content = m['content'] or ''
            for c in m.get('tool_calls') or []:
                calls[c['id']] = c
            if m['role'] == 'assistant':
                usage, raw = m['usage'] or {}, m['raw_data'] or {}
                yield span(**f, kind='llm', name=llm, model=llm, input=pending, output=[['assistant', content]], finish_reasons=[raw.get('finish_reason')],
                           input_tokens=usage.get('prompt_tokens'), output_tokens=usage.get('completion_tokens'),
                           asked=[(c['name'], c['arguments']) for c in m.get('tool_calls') or []])
                pending = []
                continue
            pending.append([m['role'], content])
            if m['role'] == 'tool':
                c = calls[m['id']]
                if m['error']:
                    f.update(status='error', message=content)
                yield span(**f, kind='tool', name=c['name'], tool_name=c['name'], tool_arguments=c['arguments'], tool_result=content)


READERS = [(r'tau2/.*\.json\.gz', results)]
