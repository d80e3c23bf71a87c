"""Files to fetch, and those that we hold, as rows."""

from typing import Final

from storage.codec import Row, instant, micros
from storage.file import MediaJob, StoredFile, Verdict

JOB: Final = ("id", "channel", "message_id", "part", "ref", "attempts", "next_at")


def job_row(job: MediaJob) -> Row:
    """Its values for the columns ``JOB``."""
    return (job.id, job.channel, job.message_id, job.part, job.ref, job.attempts, micros(job.next_at))


def job_of(row: Row) -> MediaJob:
    """From the columns ``JOB``."""
    return MediaJob(id=row[0], channel=row[1], message_id=row[2], part=row[3], ref=row[4], attempts=row[5], next_at=instant(row[6]))


FILE: Final = ("id", "sha256", "mime", "name", "size", "created_at", "conversation_id", "uploader", "verdict", "finding")


def file_row(file: StoredFile) -> Row:
    """Its values for the columns ``FILE``."""
    told = (file.id, file.sha256, file.mime, file.name, file.size, micros(file.created_at), file.conversation_id, file.uploader)
    return (*told, file.verdict.value, file.finding)


def file_of(row: Row) -> StoredFile:
    """From the columns ``FILE``."""
    return StoredFile(
        id=row[0],
        sha256=row[1],
        mime=row[2],
        name=row[3],
        size=row[4],
        created_at=instant(row[5]),
        conversation_id=row[6],
        uploader=row[7],
        verdict=Verdict(row[8]),
        finding=row[9],
    )
