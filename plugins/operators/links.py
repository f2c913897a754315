"""Links on task instances: the destination, the report, the run's log entries, the distribution. Nothing secret is in them.

An operator shows its links as soon as it begins, so that they are there during a transfer of days; Airflow stores them
once more when the task ends.
"""

from __future__ import annotations

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


class ShownLink(BaseOperatorLink):
    """A link whose address the operator has found by itself."""

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address, or nothing where there is none."""
        return str(getattr(operator, "link_urls", {}).get(self.name, ""))


class DestinationLink(ShownLink):
    """The destination prefix in Cloud Storage's browser."""

    name = "Destination"


class ReportLink(ShownLink):
    """The report of the run, as an object in Cloud Storage's browser."""

    name = "Report"


class LogsLink(ShownLink):
    """The run's entries in the Logs Explorer, where it writes any."""

    name = "Cloud Logging"


class DistributionLink(ShownLink):
    """The distribution's own address; its page in the console is named by an id that no connection has."""

    name = "Distribution"


def show_links(operator: EdgehaulOperator, context: Context, urls: Mapping[type[ShownLink], str]) -> None:
    """Show these from now on."""
    operator.link_urls = {str(link.name): url for link, url in urls.items()}
    for link in operator.operator_extra_links:
        if url := operator.link_urls.get(link.name):
            context["ti"].xcom_push(key=link.xcom_key, value=url)


def destination_url(bucket: str, prefix: str) -> str:
    """The folder of a prefix, and what the prefix says beyond it as the browser's filter."""
    folder, slash, rest = prefix.rpartition("/")
    url = f"{CONSOLE}/storage/browser/{quote(bucket + '/' + folder + slash)}"
    return f"{url.rstrip('/')};tab=objects{f'?prefix={quote(rest)}' if rest else ''}"


def object_url(uri: str) -> str:
    """The page of an object, `gs://bucket/name`."""
    return f"{CONSOLE}/storage/browser/_details/{quote(uri.removeprefix('gs://'))};tab=live_object"


def logs_url(gcp_conn_id: str, project: str | None, log_name: str | None, transfer_id: str) -> str:
    """The entries of a run; nothing when it writes none."""
    if not log_name:
        return ""
    from hooks.cloud_logging import CloudLoggingHook

    project = CloudLoggingHook(gcp_conn_id, project or None).get_project_id()
    query = f'logName="projects/{project}/logs/{quote(log_name, safe="")}"\nlabels.run="{transfer_id}"'
    return f"{CONSOLE}/logs/query;query={quote(query, safe='')}?project={quote(project)}"


def distribution_url(cloudfront_conn_id: str) -> str:
    """Scheme and host; nothing where the connection has none."""
    from hooks.cloudfront import CloudfrontHook
    from hooks.errors import InvalidConnection

    try:
        return f"{CloudfrontHook(cloudfront_conn_id).base_url}/"
    except (InvalidConnection, AirflowNotFoundException):
        return ""  # for the work itself to complain about
