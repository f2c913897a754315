"""Entries of a routes file: the smallest valid one, and one with every group of fields."""

from __future__ import annotations

QUEUE = "https://sqs.eu-west-1.amazonaws.com/111122223333/photos"
SOUND = """routes:
  - name: sound
    source: {bucket: my-source}
    edge: {connection: cloudfront_default}
    destination: {bucket: my-destination}
"""
FULL = """routes:
  - name: photos
    description: Yesterday's photos
    owner: media
    tags: [media, daily]
    source:
      bucket: my-photos
      prefix: uploads/%Y/%m/%d/
      connection: aws_media
    edge:
      connection: cloudfront_media
    destination:
      bucket: my-archive
      prefix: photos/dt=%Y-%m-%d/
      connection: google_media
      project: my-project
    schedule:
      cron: "@daily"
      timezone: Europe/Berlin
      start: 2026-01-01
      catchup: true
    max_active_runs: 2
    parameters:
      workers: 8
      bandwidth_limit_mib_s: 12.5
      overwrite: never
      topic: media-requests
    run_on: {queue: transfer, pool: edgehaul, pool_slots: 2, executor: LocalExecutor}
"""
