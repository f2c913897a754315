"""What each task does, for Airflow's page of a task: two sentences that say what to look at when it is red."""

from __future__ import annotations

from collections.abc import Mapping

TASK_DOCS: Mapping[str, str] = {
    "preflight": "Checks parameters, connections, permissions and clocks before anything is copied. When it is red, the end of"
    " its log lists everything that has to change.",
    "open_run": "Creates the run's two Pub/Sub subscriptions, and waits until the route allows another open run. Its log says"
    " which date the run is for.",
    "list": "Lists both sides, decides which objects have to be copied, and publishes them. With mode plan it ends with the table"
    " of objects and costs, and nothing is copied.",
    "transfer": "Copies objects through the edge; all workers share one queue. An object that fails does not make it red: it is"
    " recorded with its reason, and `reconcile` decides whether to copy it again.",
    "reconcile": "Compares what was listed with what has arrived, and publishes what is worth another attempt. With mode verify"
    " it only compares.",
    "retry": "Copies what `reconcile` has published again. It is skipped when nothing was left to do.",
    "verify": "Compares both sides once more and writes the report. When it is red, its log names each reason, how many objects"
    " failed for it, and what to do; every object is in failures.csv.",
    "delete_extraneous": "Lists or deletes objects that the source does not have, if the parameter delete_extraneous asks for it."
    " It never deletes more than max_delete_percent and max_delete_objects allow.",
    "close_run": "Deletes the run's subscriptions, ends unfinished uploads and deletes records of old runs; it runs whatever"
    " happened before. It is red without a green verdict, so that a run marked by hand is not mistaken for a verified one.",
}
"""By task id."""
