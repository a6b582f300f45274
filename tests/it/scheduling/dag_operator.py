"""Runs the operator of the DAG outside a scheduler: its exceptions, its XCom, and how it stops failsift."""

import sys
import threading
from types import SimpleNamespace

import failsift_nightly as dag
import pendulum
from airflow.exceptions import AirflowException, AirflowFailException

local_input, local_output = sys.argv[1:]
cases = 0


def run(prefix, *, day="2026-11-23", fail_on_checks=True, during=None):
    """The exception of a task, or None, and its XCom."""
    global cases
    cases += 1
    pushed = {}
    operator = dag.FailsiftOperator(task_id=f"case_{cases}", prefix=prefix)
    context = {
        "ti": SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value})),
        "dag_run": SimpleNamespace(logical_date=pendulum.parse(day), run_after=None),
        "params": {"fail_on_checks": fail_on_checks},
    }
    if during:
        during(operator)
    try:
        operator.execute(context)
        return None, pushed.get("summary")
    except AirflowException as error:
        return error, pushed.get("summary")


def check(result, kind, text):
    assert type(result[0]) is kind and text in str(result[0]), result


def program(script):
    dag.FAILSIFT = ["sh", "-c", script, "failsift"]


# 0: a bucket with credentials from the connection.
error, summary = run("s3://traces/agents/")
assert error is None and summary["received"] == 47 and summary["stored"] > 0 and summary["stored"] + summary["filtered"] == 44, summary
assert len(summary["failures"]) == 3 and summary["output_tokens"] == 0

# 3: what is too much fails without a retry, or is accepted; the summary is there, and short.
dag.OUTPUT = local_output
failed, accepted = run(local_input), run(local_input, fail_on_checks=False)
check(failed, AirflowFailException, "exit code 3 (error_rate): complete, but a check failed")
assert accepted[0] is None
for summary in (failed[1], accepted[1]):
    assert summary["processing_errors"] == 100 and len(summary["failures"]) == 20, summary

# 1: no trace files; retried. 2: wrong configuration; not retried.
check(run(local_input + "/empty"), AirflowException, "exit code 1; its messages are above")
check(run("gopher://nowhere"), AirflowFailException, "exit code 2: wrong usage or configuration")

# 4: the cost limit; a retry would spend it again.
program("echo '{\"exit_reason\": \"cost_limit\", \"cost_usd\": 5.0}'; exit 4")
result = run(local_input)
check(result, AirflowFailException, "exit code 4 (cost_limit): stopped by the cost limit")
assert result[1] == {"exit_reason": "cost_limit", "cost_usd": 5.0}

# Killed by the system; retried.
program("kill -9 $$")
check(run(local_input), AirflowException, "exit code -9")

# Stopped by Airflow: failsift gets one SIGTERM and ends in its own way.
program("trap 'exit 143' TERM; for second in 1 2 3 4 5 6 7 8 9 10; do sleep 1 & wait; done")


def stop(operator):
    def after_start():
        while operator._process is None:
            threading.Event().wait(0.01)
        threading.Event().wait(0.5)
        operator.on_kill()

    threading.Thread(target=after_start, daemon=True).start()


check(run(local_input, during=stop), AirflowException, "exit code 143")

dag.FAILSIFT = ["no-such-program"]
check(run(local_input), AirflowFailException, "cannot start no-such-program: No such file or directory")

# A run without a logical date reads the day before.
moment = SimpleNamespace(logical_date=None, run_after=pendulum.datetime(2026, 11, 24, 1))
assert str(dag.day_of({"dag_run": moment})) == "2026-11-23"
local = SimpleNamespace(logical_date=pendulum.datetime(2026, 11, 24, 1, tz="Asia/Tokyo"), run_after=None)
assert str(dag.day_of({"dag_run": local})) == "2026-11-23"

print(f"{cases} cases")
