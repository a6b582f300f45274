"""Rollouts of Codex, and the events of `codex exec --json`."""

import json, os, re

from expected import lines, ns, span

ITEM_TOOLS = {'command_execution': 'shell', 'CommandExecution': 'shell', 'file_change': 'apply_patch', 'web_search': 'web_search'}


def text_of(content):
    if isinstance(content, str):
        return content
    return '\n'.join(p['text'] for p in content or [] if 'text' in p)


def error_of(text):
    head, found, stack = text.partition('Traceback (most recent call last)')
    if found:
        last = [l for l in stack.splitlines() if l and not l.startswith((' ', '\t'))][-1]
        return last.split(':')[0], head.strip() or text
    return None, text


class Session:
    def __init__(self, trace, timed):
        self.trace, self.timed, self.spans = trace, timed, {}

    def at(self, id, kind, name, t, **k):
        s = self.spans.setdefault(id, dict(trace_id=self.trace, span_id=id, kind=kind, name='', service='codex', status='unset', asked=[], input=[], output=[],
                                           tool_result=None, started_at=t))
        s['name'] = s['name'] or name
        s.update({x: v for x, v in k.items() if v is not None and s.get(x) is None})
        return s

    def fail(self, s, text):
        s['status'] = 'error'
        kind, message = error_of(text)
        s['error_type'], s['message'] = s.get('error_type') or kind, s.get('message') or message

    def error(self, id, error, t, parent=None):
        if error['message'].startswith('Reconnecting...'):
            # What failed before a retry is in brackets, if at all.
            found = re.search(r'\((.*)\)$', error['message'])
            if not found:
                return
            error = dict(error, message=found[1])
        s = self.at(id, 'llm', 'assistant', t, ended_at=t, parent_span_id=parent)
        self.set_error(s, error)

    def set_error(self, s, error):
        info = error.get('codex_error_info')
        info = next(iter(info)) if isinstance(info, dict) else info
        s.update(status='error', message=error['message'], error_type=None if info == 'other' else info)

    def item(self, p, place, t):
        """An item of the Responses API."""
        kind = p['type']
        parent = (p.get('internal_chat_message_metadata_passthrough') or {}).get('turn_id')
        id = p.get('id') or place
        if kind == 'message' and p['role'] == 'assistant':
            self.at(id, 'llm', 'assistant', t, ended_at=t, parent_span_id=parent)['output'] = [['assistant', text_of(p['content'])]]
        elif kind == 'message':
            text = text_of(p['content'])
            role = 'system' if text.startswith(('<environment_context>', '<user_instructions>', '# AGENTS.md instructions')) else p['role']
            self.at(id, 'other', role, t, ended_at=t, parent_span_id=parent)['input'] = [[role, text]]
        elif kind in ('function_call', 'custom_tool_call'):
            arguments = p.get('arguments', p.get('input'))
            s = self.at(id, 'llm', 'assistant', t, ended_at=t, parent_span_id=parent)
            s['asked'], s['output'] = [(p['name'], arguments)], [['assistant', '']]
            self.at(p['call_id'], 'tool', p['name'], t + 1, parent_span_id=parent, tool_name=p['name'], tool_arguments=arguments)
        elif kind.endswith('_output'):
            s = self.at(p['call_id'], 'tool', '', t, parent_span_id=parent)
            text, code = text_of(p['output']), None
            try:
                tree = json.loads(text)
                text, code = tree['output'], tree['metadata']['exit_code']
            except (ValueError, TypeError, KeyError):
                found = re.match(r'(?:[^\n]*\n){0,4}?(?:Exit code:|Process exited with code) (-?\d+)\n', text)
                code = int(found[1]) if found else None
            s['ended_at'], s['tool_result'] = max(t, s['started_at'], s.get('ended_at') or 0), text
            if code or text.startswith(('unsupported c', 'failed to parse function arguments', 'tool call error:', 'err:')):
                self.fail(s, text)
            elif code == 0 and s['status'] == 'unset':
                s['status'] = 'ok'

    def tool_end(self, id, text, failed, t, parent=None, name='', **k):
        s = self.at(id, 'tool', name, t, parent_span_id=parent, **k)
        s['ended_at'] = max(t, s.get('ended_at') or 0)
        if failed:
            self.fail(s, text)
        elif failed is False and s['status'] == 'unset':
            s['status'] = 'ok'
        return s

    def thread_item(self, p, t, parent, alone):
        """An item of a thread."""
        kind = p['type']
        if kind == 'agent_message' and alone:
            self.at(p['id'], 'llm', 'assistant', t, ended_at=t)['output'] = [['assistant', p['text']]]
        if kind not in ITEM_TOOLS and kind not in ('mcp_tool_call', 'McpToolCall'):
            return
        result = p.get('result') or {}
        error = p.get('error')
        text = (error or {}).get('message') or text_of(result.get('content')) or p.get('aggregated_output')
        failed = {'failed': True, 'completed': False}.get(p['status'])
        if p.get('exit_code') == -1 and not text:
            failed = None
        if not alone:
            self.tool_end(p['id'], text, failed, t, parent)
            return
        name = ITEM_TOOLS.get(kind) or p['tool']
        arguments = {'command': p['command']} if 'command' in p else p.get('arguments')
        s = self.at(p['id'], 'tool', name, t, tool_name=name, tool_arguments=arguments)
        if p['status'] != 'in_progress':
            self.tool_end(p['id'], text, failed, t)['tool_result'] = text

    def event(self, p, place, t, alone):
        kind = p['type']
        turn = p.get('turn_id')
        if kind in ('error', 'stream_error'):
            self.error(place, p, t, turn)
        elif kind == 'item_completed':
            self.thread_item(p['item'], t, turn, alone)
        elif kind in ('task_started', 'task_complete', 'turn_aborted') and turn:
            s = self.at(turn, 'agent', 'turn', t)
            if kind != 'task_started':
                s['ended_at'] = t
            if p.get('error'):
                self.set_error(s, p['error'])
                self.error(place, p['error'], t, turn)
            elif kind == 'task_complete':
                s['status'] = 'ok'
                if p['last_agent_message'] is None:
                    s['output'] = [['assistant', '']]
        elif kind == 'exec_command_begin' and alone:
            self.at(p['call_id'], 'tool', 'shell', t, tool_name='shell', tool_arguments={'command': p['command']})
        elif kind == 'exec_command_end' and alone:
            text = p.get('aggregated_output') or p.get('formatted_output') or p['stderr'] or p['stdout']
            self.tool_end(p['call_id'], text, p['exit_code'] != 0, t)['tool_result'] = text
        elif kind == 'mcp_tool_call_end':
            result = p['result'].get('Ok')
            text = text_of(result['content']) if result else p['result']['Err']
            self.tool_end(p['call_id'], text, result is None or bool(result.get('isError')), t)
        elif kind == 'agent_message' and alone:
            self.at(place, 'llm', 'assistant', t, ended_at=t)['output'] = [['assistant', p['message']]]


def rollout(path):
    name = os.path.basename(path)
    session = Session(name[len('rollout-2026-11-26T15-16-02-'):-len('.jsonl.gz')], True)
    written = ns(re.sub(r'T(\d\d)-(\d\d)-(\d\d)', r'T\1:\2:\3', name[len('rollout-'):len('rollout-2026-11-26T15-16-02')]))
    for number, r in enumerate(lines(path), 1):
        place = f'L{number}'
        if 'payload' in r:
            t, p = ns(r['timestamp']) + number * 16, r['payload']
            if r['type'] == 'response_item':
                session.item(p, place, t)
            elif r['type'] == 'event_msg':
                session.event(p, place, t, False)
            elif r['type'] in ('turn_context', 'token_usage_record') and p.get('turn_id'):
                s = session.at(p['turn_id'], 'agent', 'turn', t, model=p.get('model'))
                s['ended_at'] = t
                usage = p.get('turn_token_usage') or {}
                for x in ('input_tokens', 'output_tokens'):
                    s[x] = max(s.get(x) or 0, usage.get(x) or 0) or None
        elif 'type' in r:
            # The oldest form has no times, so the name of the file gives one.
            session.item(r, place, written + number + number * 16)
    yield from (span(**s) for s in session.spans.values())


def stream(path):
    session = Session('codex/exec/' + os.path.basename(path), False)
    for number, r in enumerate(lines(path), 1):
        t, place = number, f'L{number}'
        if 'msg' in r:
            session.event(r['msg'], place, t, True)
        elif 'prompt' in r:
            session.at(place, 'other', 'user', t)['input'] = [['user', r['prompt']]]
        elif r.get('type', '').startswith('item.'):
            session.thread_item(r['item'], t, None, True)
        elif r.get('type') == 'error':
            session.error(place, r, t)
        elif r.get('type') in ('turn.completed', 'turn.failed'):
            usage = r.get('usage') or {}
            s = session.at(place, 'agent', 'turn', t, input_tokens=usage.get('input_tokens'), output_tokens=usage.get('output_tokens'))
            s['status'] = 'ok'
            if r.get('error'):
                session.set_error(s, r['error'])
    for s in session.spans.values():
        out = span(**s)
        # The order of the records counts, in the time of the object.
        out.pop('started_at'), out.pop('ended_at')
        yield out


READERS = [(r'codex/sessions/.*', rollout), (r'codex/exec/.*', stream)]
