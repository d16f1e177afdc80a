#!/usr/bin/env python3
"""Runs docker/redis/start with the redis-server of this machine, as the containers of both compose files run it: Redis takes the place of
the shell, ends at SIGTERM with its data kept, wants the password and keeps it to itself, copies another Redis, and starts from a dump.

Prints what is not so; exit code 1 when there is something."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
START = os.path.join(ROOT, "docker", "redis", "start")
PASSWORD = 'PLANTED"REDIS\\PASSWORD'
PATIENCE_S = 60


def free_port():
    with contextlib.closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Redis:
    """One that the script starts, with a directory of its own."""

    def __init__(self, directory, **environment):
        self.port, self.run = free_port(), tempfile.mkdtemp()
        environment = {"PATH": os.environ["PATH"], "TMPDIR": self.run, **environment}
        arguments = ["sh", START, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", directory]
        with open(os.path.join(self.run, "log"), "w") as log:
            self.process = subprocess.Popen(arguments, env=environment, stdout=log, stderr=log)

    def __enter__(self):
        until("it answers", lambda: self.ask("ping") == "PONG")
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.run)

    def ask(self, *words, password=PASSWORD):
        environment = {"PATH": os.environ["PATH"], **({"REDISCLI_AUTH": password} if password else {})}
        command = ["redis-cli", "-p", str(self.port), *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True).stdout.strip()

    def setting(self, name):
        return self.ask("config", "get", name).split("\n")[-1]

    def proc(self, name):
        with open(f"/proc/{self.process.pid}/{name}", "rb") as file:
            return file.read().decode(errors="replace")

    def stop(self):
        """What a container's stop does."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE_S)


def until(what, holds):
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"error: waited {PATIENCE_S} s until {what}")
        time.sleep(0.05)


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"error: {what}: {found!r} is not {wanted!r}")


def it_becomes_redis_and_keeps_its_data_over_a_stop(directory):
    with Redis(directory, REDIS_PASSWORD=PASSWORD) as redis:
        expect("the process that was started", redis.proc("comm").strip(), "redis-server")
        expect("mode of its settings", oct(os.stat(os.path.join(redis.run, "redis.conf")).st_mode & 0o777), "0o600")
        expect("without the password", redis.ask("ping", password=None), "NOAUTH Authentication required.")
        for name, value in {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec"}.items():
            expect(name, redis.setting(name), value)
        expect("a write", redis.ask("set", "kept", "over the stop"), "OK")
        expect("exit code after SIGTERM", redis.stop(), 0)
    with Redis(directory, REDIS_PASSWORD=PASSWORD) as redis:
        expect("what was written before the stop", redis.ask("get", "kept"), "over the stop")
        redis.stop()


def a_copy_follows_and_gives_a_dump_from_which_another_starts(directory, restored, dump):
    secret = os.path.join(dump, "redis_password")
    with open(secret, "w") as file:
        file.write(PASSWORD)
    with Redis(directory, REDIS_PASSWORD=PASSWORD) as first, tempfile.TemporaryDirectory() as second:
        origin = f"127.0.0.1 {first.port}"
        with Redis(second, REDIS_PASSWORD_FILE=secret, REDIS_REPLICA_OF=origin) as copy:
            until("the copy has what was written", lambda: copy.ask("get", "kept") == "over the stop")
            expect("a write into a copy", copy.ask("set", "a", "b").split(" ")[0], "READONLY")
            with open(os.path.join(restored, "dump.rdb"), "wb") as file:
                command = ["redis-cli", "-p", str(copy.port), "--rdb", "-"]
                environment = {"PATH": os.environ["PATH"], "REDISCLI_AUTH": PASSWORD}
                subprocess.run(command, env=environment, stdout=file, stderr=subprocess.PIPE, check=True)
    with Redis(restored, REDIS_PASSWORD=PASSWORD, REDIS_APPENDONLY="no") as redis:
        expect("what the dump held", redis.ask("get", "kept"), "over the stop")
        expect("appendonly", redis.ask("config", "set", "appendonly", "yes"), "OK")
        until("the file is written", lambda: "aof_rewrite_in_progress:0" in redis.ask("info", "persistence"))
        expect("exit code after SIGTERM", redis.stop(), 0)
    os.remove(os.path.join(restored, "dump.rdb"))
    with Redis(restored, REDIS_PASSWORD=PASSWORD) as redis:
        expect("what the append-only file holds then", redis.ask("get", "kept"), "over the stop")


def without_a_password_it_does_not_start():
    ran = subprocess.run(["sh", START], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    expect("exit code", ran.returncode, 64)
    expect("a hint", "REDIS_PASSWORD" in ran.stderr and "hint:" in ran.stderr, True)


with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two, tempfile.TemporaryDirectory() as three:
    it_becomes_redis_and_keeps_its_data_over_a_stop(one)
    a_copy_follows_and_gives_a_dump_from_which_another_starts(one, two, three)
    without_a_password_it_does_not_start()
