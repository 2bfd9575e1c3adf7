"""Writes a state directory that holds many jobs, as a daemon that has worked for long would leave it.

Keys are written as Sources/Store/Keys.swift and Tables.swift and Sources/Queue/QueueTables.swift say, values are messages of
proto/storage.proto. What depends on each other agrees: jobs, their indexes and counts, images, tags, reports, counters.
"""
import importlib
import shutil
import struct
import sys
import time

from place import HERE, SCRATCH, TOP, Problem, fingerprint, run

SCHEMA_VERSION = 2  # StateStore.schemaVersion
TABLES = ("meta integrations integration_names secrets images tags reports layers layer_uses confirmations polls "
          "jobs jobs_active jobs_ready jobs_delayed jobs_running jobs_ended job_counts job_failures").split()
MAP_BYTES = 4 << 30

JOBS = 100_000
# What did not end well, by the job's number; all before the last ones have ended.
ERRORS_EVERY, CANCELLED_EVERY = 40, 100
LEASED, PENDING = 4, 2_000  # the last ones
REPOSITORIES = 500
PACKAGES = ("base-files", "libc6", "openssl", "zlib1g")
DAY = 86_400 * 10**9
FIRST_DAY = 1_735_689_600 * 10**9  # 2025-01-01
PRIORITY_NEW_IMAGE = 1
ANSWERING, SILENT = 1, 2  # integrations: the ended jobs' and the others'


def made(silent_url):
    """A state directory of its own for one start. The integration that still has jobs points to `silent_url`."""
    sources = [HERE / "job_store.py", TOP / "proto/storage.proto", TOP / "Sources/Store/Tables.swift",
               TOP / "Sources/Store/Keys.swift", TOP / "Sources/Queue/QueueTables.swift"]
    kept = SCRATCH / ("jobs-" + fingerprint(*sources))
    if not (kept / "complete").exists():
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        Writer(kept).write()
        (kept / "complete").touch()
    state = SCRATCH / "jobs-in-use"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(mode=0o700)
    shutil.copyfile(kept / "state.mdb", state / "state.mdb")
    (state / "state.mdb").chmod(0o600)
    Writer(state).write_integrations(silent_url)
    return state


def number(value):
    return struct.pack(">Q", value)


def image_key(integration, repository, digest):
    return number(integration) + repository.encode() + b"\0" + digest.encode()


class Writer:
    def __init__(self, folder):
        try:
            import lmdb
        except ImportError:
            raise Problem("python3-lmdb is not installed") from None
        self.messages = messages()
        self.environment = lmdb.open(str(folder / "state.mdb"), subdir=False, map_size=MAP_BYTES, max_dbs=len(TABLES) + 1, lock=False)
        self.tables = {name: self.environment.open_db(name.encode()) for name in TABLES}

    def write_integrations(self, silent_url):
        with self.environment.begin(write=True) as self.transaction:
            for id, name, url in ((ANSWERING, "answering", "http://127.0.0.1:1"), (SILENT, "silent", silent_url)):
                record = self.messages.IntegrationRecord(
                    id=id, name=name, type="docker-registry", url=url, scan_timeout_seconds=1800, max_concurrent=8,
                    credential_generation=1, created_at=FIRST_DAY, updated_at=FIRST_DAY, revision=1)
                self.put("integrations", number(id), record)
                self.put("integration_names", name.encode(), number(id))
            # Its jobs are old: none is to be removed as such while it is looked at.
            self.put("meta", b"collected_at", number(int(time.time())))
        self.environment.close()

    def write(self):
        counts, failures = {}, 0
        with self.environment.begin(write=True) as self.transaction:
            for id in range(1, JOBS + 1):
                job = self.job(id)
                counted = number(job.integration_id) + bytes([job.state])
                counts[counted] = counts.get(counted, 0) + 1
                failures += bool(job.error_code) and job.state == self.messages.JOB_STATE_ERROR
                self.put_job(job)
                self.put_image(job)
            for counted, count in counts.items():
                self.put("job_counts", counted, number(count))
            self.put("job_failures", number(ANSWERING) + b"NOT_FOUND", number(failures))
            for name, value in (("schema_version", SCHEMA_VERSION), ("next_job", JOBS + 1), ("next_lease", JOBS + 1),
                                ("next_sequence", JOBS + 1), ("layer_uses", 1),
                                ("next_integration", SILENT + 1)):
                self.put("meta", name.encode(), number(value))
        self.environment.sync(True)
        self.environment.close()

    def put(self, table, key, value):
        value = value if isinstance(value, bytes) else value.SerializeToString()
        self.transaction.put(key, value, db=self.tables[table])

    def job(self, id):
        m = self.messages
        job = m.JobRecord(id=id, sequence=id, repository=f"team-{id % 20}/service-{id % REPOSITORIES}", digest=f"sha256:{id:064x}",
                          tag=f"1.0.{id}", priority=PRIORITY_NEW_IMAGE, enqueued_at=FIRST_DAY + id * 60 * 10**9,
                          integration_id=SILENT if id > JOBS - PENDING - LEASED else ANSWERING)
        if id > JOBS - PENDING:
            job.state = m.JOB_STATE_PENDING
            return job
        job.attempt, job.started_at, job.bytes_total, job.layers_total = 1, job.enqueued_at + 10**9, 50_000_000 + id, 5
        if id > JOBS - PENDING - LEASED:
            job.state, job.lease = m.JOB_STATE_IN_PROGRESS, id
            return job
        job.finished_at, job.state = job.started_at + 3 * 10**9, m.JOB_STATE_FINISHED
        if id % ERRORS_EVERY == 0:
            job.state, job.error_code, job.error_hint = m.JOB_STATE_ERROR, "NOT_FOUND", "check that the image is still there"
            job.error_message = f"{job.repository}@{job.digest} is not in the registry"
        elif id % CANCELLED_EVERY == 1:
            job.state, job.error_code, job.error_hint = m.JOB_STATE_CANCELLED, "CANCELLED", "queue it again"
            job.error_message = "cancelled by a user"
        return job

    def put_job(self, job):
        self.put("jobs", number(job.id), job)
        image = image_key(job.integration_id, job.repository, job.digest)
        if job.state == self.messages.JOB_STATE_PENDING:
            self.put("jobs_ready", number(job.integration_id) + bytes([job.priority]) + number(job.sequence), number(job.id))
        elif job.state == self.messages.JOB_STATE_IN_PROGRESS:
            self.put("jobs_running", number(job.id), number(job.lease))
        else:
            self.put("jobs_ended", bytes([job.state]) + number(job.finished_at) + number(job.id), b"")
            return
        self.put("jobs_active", image, number(job.id))

    def put_image(self, job):
        m = self.messages
        key = image_key(job.integration_id, job.repository, job.digest)
        record = m.ImageRecord(integration_id=job.integration_id, repository=job.repository, digest=job.digest,
                               first_seen_at=job.enqueued_at, last_job_id=job.id, status=m.IMAGE_STATUS_QUEUED)
        if job.state == m.JOB_STATE_FINISHED:
            record.status, record.scanned_at, record.created_at = m.IMAGE_STATUS_SCANNED, job.finished_at, job.enqueued_at - DAY
            record.platforms.append("linux/amd64")
            self.put("reports", key + b"\0linux/amd64", self.a_report(job))
            self.put("layer_uses", job.digest.encode(), number(1) + number(0))
        elif job.state == m.JOB_STATE_ERROR:
            record.status, record.status_reason = m.IMAGE_STATUS_FAILED, f"{job.error_code}: {job.error_message}"
        self.put("images", key, record)
        self.put("tags", number(job.integration_id) + job.repository.encode() + b"\0" + job.tag.encode(),
                 m.TagRecord(digest=job.digest, since=job.enqueued_at, first_seen_at=job.enqueued_at, taken=True,
                             decision=m.TAG_DECISION_SELECTED))

    def a_report(self, job):
        m = self.messages
        layer = m.ReportLayer(digest=job.digest, size_bytes=job.bytes_total, created_by="RUN apt-get install")
        packages = [m.InventoryPackage(package=m.Package(type="deb", name=name, version="1.2.3-4", arch="amd64", source_name=name,
                                                         source_version="1.2.3-4"),
                                       purl=f"pkg:deb/debian/{name}@1.2.3-4?arch=amd64&distro=debian-12") for name in PACKAGES]
        return m.ReportRecord(platform="linux/amd64", manifest_digest=job.digest, config_digest=job.digest, layers=[layer],
                              os=m.OSRelease(id="debian", version_id="12"), packages=packages,
                              created_at=job.enqueued_at - DAY, scanned_at=job.finished_at, matched_at=job.finished_at)


def messages():
    """The Python classes of proto/storage.proto, made by protoc."""
    folder = SCRATCH / "python"
    folder.mkdir(parents=True, exist_ok=True)
    run(["protoc", f"--proto_path={TOP / 'proto'}", f"--python_out={folder}", "storage.proto"])
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("storage_pb2")
    except ImportError as error:
        raise Problem(f"python3-protobuf cannot read what protoc made: {error}") from None
