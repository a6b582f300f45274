"""Reads trajectories of SWE-agent by `sweagent/types.py` and `DefaultAgent.forward_with_handling` (1.1.0), and those of 0.x."""

import gzip, json, os, re

from expected import HERE, span


def content_of(m):
    c = m.get('content')
    return '\n'.join(x['text'] for x in c) if isinstance(c, list) else c or ''


def run(path):
    d = json.load(gzip.open(path, 'rt'))
    trace_id = 'tests/captures/' + os.path.relpath(path, HERE) + '#L1'
    facts = dict(trace_id=trace_id, service='swe-agent', status='unset')
    answers = [h for h in d['history'] if h['role'] == 'assistant' and not h.get('is_demo')]
    first = next(i for i, h in enumerate(d['history']) if h['role'] == 'assistant' and not h.get('is_demo'))
    before = [[h['role'], content_of(h)] for h in d['history'][:first]]
    notice = None
    spans = []
    for n, s in enumerate(d['trajectory'], 1):
        action = s['action'].strip()
        ends = s['thought'].startswith(('Exit due to ', 'Exiting due to ')) and (not action or action.startswith('exit_'))
        if ends:
            notice = s['thought']
            if s['response'] == s['thought']:
                continue
        call = None
        if answers and (answers[0].get('action') or '').strip() == action:
            call = next(iter(answers.pop(0).get('tool_calls') or []), None)
        query = s.get('query') or s.get('messages')
        spans.append(dict(facts, span_id=f'{n}.model', parent_span_id='run', name='model', kind='llm', output=[['assistant', s['response']]],
                          input=[[m['role'], content_of(m)] for m in query] if query else before, asked=[(call['function']['name'], call['function']['arguments'])] if call else []))
        before = []
        if action and not ends:
            word = action.split()[0]
            name = call['function']['name'] if call else word if re.fullmatch(r'[A-Za-z0-9_-]+', word) else 'bash'
            spans.append(dict(facts, span_id=f'{n}.tool', parent_span_id='run', name=name, kind='tool', tool_name=name, tool_result=s['observation'],
                              tool_arguments=call['function']['arguments'] if call else s['action']))
            before = [['tool' if call else 'user', s['observation']]]
    replay = d.get('replay_config') or {}
    replay = json.loads(replay) if isinstance(replay, str) else replay
    statement = replay.get('problem_statement') or {}
    root = dict(facts, span_id='run', kind='agent', name=statement.get('id') or 'swe-agent')
    status = d['info'].get('exit_status')
    reason = re.sub(r'^submitted \((.*)\)$', r'\1', status or '')
    if reason not in ('', 'submitted', 'exit_command'):
        root.update(status='error', error_type=reason, message=f'{reason}: {notice}' if notice else reason)
        raised = re.search(r' error: ([\w.]+Error): (.*)', notice or '', re.S)
        if raised:
            root.update(error_type=raised[1], message=raised[2])
    for f in [root] + spans:
        s = span(**f)
        # The file has no times.
        del s['started_at'], s['ended_at']
        yield s


READERS = [(r'swe_agent/.*\.traj\.gz', run)]
