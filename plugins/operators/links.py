"""Links on task instances: the destination, the report, the run's log entries, the distribution. They contain no secrets.

An operator shows its links as soon as it starts, so that they are there while a long transfer runs; Airflow stores them
again when the task ends.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink
from airflow.sdk.exceptions import AirflowNotFoundException

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey

    from operators.base import EdgehaulOperator

CONSOLE = "https://console.cloud.google.com"
CONSOLE_SETTING = "EDGEHAUL_CONSOLE"
"""The environment variable that names another address of Google's console, such as a company's own domain for it; set to
nothing, links to the console are left out."""


class ShownLink(BaseOperatorLink):
    """A link whose address the operator determines while it runs."""

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address of the link; empty where there is none."""
        return str(getattr(operator, "link_urls", {}).get(self.name, ""))


class DestinationLink(ShownLink):
    """The destination prefix in Cloud Storage's browser."""

    name = "Destination"


class ReportLink(ShownLink):
    """The report of the run, as an object in Cloud Storage's browser."""

    name = "Report"


class FailuresLink(ShownLink):
    """The objects that could not be copied, each with its reason, as an object in Cloud Storage's browser; if there are any."""

    name = "Failures"


class LogsLink(ShownLink):
    """The run's entries in the Logs Explorer, if it writes any."""

    name = "Cloud Logging"


class DistributionLink(ShownLink):
    """The distribution's own address. A link to its page in the console would need its id, which no connection has."""

    name = "Distribution"


def show_links(operator: EdgehaulOperator, context: Context, urls: Mapping[type[ShownLink], str]) -> None:
    """Show these links on the task instance from now on, besides those that it has."""
    operator.link_urls = {**getattr(operator, "link_urls", {}), **{str(link.name): url for link, url in urls.items()}}
    for link in operator.operator_extra_links:
        if url := operator.link_urls.get(link.name):
            context["ti"].xcom_push(key=link.xcom_key, value=url)


def console_url(path: str) -> str:
    """A page of Google's console; empty where links to it are not wanted."""
    console = os.environ.get(CONSOLE_SETTING, CONSOLE).strip().rstrip("/")
    return f"{console}{path}" if console.startswith(("https://", "http://")) else ""


def destination_url(bucket: str, prefix: str) -> str:
    """The page of the prefix's folder; the rest of the prefix is the browser's filter."""
    folder, slash, rest = prefix.rpartition("/")
    path = f"/storage/browser/{quote(bucket + '/' + folder + slash)}".rstrip("/")
    return console_url(f"{path};tab=objects{f'?prefix={quote(rest)}' if rest else ''}")


def object_url(uri: str) -> str:
    """The page of an object by its URI, `gs://bucket/name`."""
    return console_url(f"/storage/browser/_details/{quote(uri.removeprefix('gs://'))};tab=live_object")


def logs_url(gcp_conn_id: str, project: str | None, log_name: str | None, transfer_id: str) -> str:
    """The page with the log entries of a run; empty when it writes none."""
    if not log_name:
        return ""
    from hooks.cloud_logging import CloudLoggingHook

    project = CloudLoggingHook(gcp_conn_id, project or None).get_project_id()
    query = f'logName="projects/{project}/logs/{quote(log_name, safe="")}"\nlabels.run="{transfer_id}"'
    return console_url(f"/logs/query;query={quote(query, safe='')}?project={quote(project)}")


def distribution_url(cloudfront_conn_id: str) -> str:
    """Scheme and host of the distribution; empty where the connection has none."""
    from hooks.cloudfront import CloudfrontHook
    from hooks.errors import InvalidConnection

    try:
        return f"{CloudfrontHook(cloudfront_conn_id).base_url}/"
    except (InvalidConnection, AirflowNotFoundException):
        return ""  # the work itself reports it
