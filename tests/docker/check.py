#!/usr/bin/env python3
"""Holds docker/ to itself and to the program: everything a compose file or Dockerfile names exists, no secret has a default, no health or
Redis port is published to the world, daemon and workers have a health check the image can run, and every metric of the alerts and dashboards is one that docs/observe.md has.

Reads the compose files as `docker-compose config` writes them out. Prints each finding; exit code 1 when there is one."""
import json
import os
import re
import subprocess
import sys
import tempfile

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCKER = os.path.join(ROOT, "docker")
SETTINGS = {
    "NEXT_PUBLIC_SUPABASE_URL": "https://project.supabase.co",
    "SUPABASE_SERVICE_ROLE_KEY": "key-of-the-test",
    "NOVU_SECRET_KEY": "key-of-the-test",
    "REDIS_PASSWORD": "password-of-the-test",
    "BULL_BOARD_PASSWORD": "password-of-the-test",
}
findings = []


def find(what):
    findings.append(what)


def compose(name, settings=SETTINGS):
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **settings}
    with tempfile.NamedTemporaryFile() as empty:
        command = ["docker-compose", "--env-file", empty.name, "-f", os.path.join(DOCKER, name), "config"]
        return subprocess.run(command, env=environment, capture_output=True, text=True)


def check_compose(name):
    written = compose(name)
    if written.returncode:
        return find(f"{name}: docker-compose config: {written.stderr.strip()}")
    document = yaml.safe_load(written.stdout)
    made = made_secrets()
    for service, entry in document["services"].items():
        for source in mounts(entry):
            if not os.path.exists(source):
                find(f"{name}: {service} mounts {source}, which does not exist")
        build = entry.get("build")
        if build and not os.path.exists(os.path.join(build["context"], build.get("dockerfile", "Dockerfile"))):
            find(f"{name}: {service} is built from a file that does not exist: {build}")
        if service in ("daemon", "worker") and entry.get("healthcheck", {}).get("test") != ["CMD", "xnovu", service, "status"]:
            find(f"{name}: the health check of {service} does not ask xnovu {service} status")
        for port in entry.get("ports", []):
            published = port if isinstance(port, str) else f"{port.get('host_ip', '')}:{port['published']}:{port['target']}"
            if not published.startswith("127.0.0.1:"):
                find(f"{name}: {service} publishes {published} beyond this machine")
            if published.split("/")[0].rsplit(":", 1)[1] in ("6379", "3001") and "prod" in name:
                find(f"{name}: {service} publishes {published}")
    for secret, entry in document.get("secrets", {}).items():
        if os.path.basename(entry["file"]) not in made:
            find(f"{name}: docker/make-secrets does not write {secret}")
    for variable in SETTINGS:
        if "prod" in name and variable != "NEXT_PUBLIC_SUPABASE_URL":
            continue
        rest = {key: value for key, value in SETTINGS.items() if key != variable}
        if compose(name, rest).returncode == 0:
            find(f"{name}: {variable} has a default, or nobody asks for it")


def mounts(service):
    for volume in service.get("volumes", []):
        source = volume.split(":")[0] if isinstance(volume, str) else volume.get("source", "")
        if source.startswith("/"):
            yield source


_made = None


def made_secrets():
    """What docker/make-secrets writes, in a copy of its own."""
    global _made
    if _made is None:
        with tempfile.TemporaryDirectory() as directory:
            copy = os.path.join(directory, "make-secrets")
            with open(os.path.join(DOCKER, "make-secrets")) as script, open(copy, "w") as out:
                out.write(script.read())
            environment = {"PATH": os.environ["PATH"], **SETTINGS}
            for turn in ("written", "stays as it is"):
                ran = subprocess.run(["bash", copy], env=environment, capture_output=True, text=True, check=True)
                if any(turn not in line for line in ran.stdout.splitlines()):
                    find(f"make-secrets: a run that should have {turn} says {ran.stdout}")
            secrets = os.path.join(directory, "secrets")
            if os.stat(secrets).st_mode & 0o077:
                find("make-secrets: others can look into secrets/")
            _made = {name: open(os.path.join(secrets, name)).read() for name in os.listdir(secrets)}
            passwords = [value for name, value in _made.items() if name.endswith("password")]
            if len(set(passwords)) < len(passwords) or any(len(value) < 64 for value in passwords):
                find("make-secrets: passwords are short or the same")
            if _made["redis_password"] not in _made["redis_url"]:
                find("make-secrets: redis_url does not hold the password")
    return _made


def check_dockerfile(path, context):
    for line in open(os.path.join(ROOT, path)):
        words = line.split()
        if words[:1] != ["COPY"] or any(word.startswith("--from") for word in words):
            continue
        for source in words[1:-1]:
            if not source.startswith("--") and not os.path.exists(os.path.join(ROOT, context, source)):
                find(f"{path}: COPY {source}: there is no such file")


def known_metrics():
    text = open(os.path.join(ROOT, "docs", "observe.md")).read()
    table = re.findall(r"^\| `(xnovu_\w+)` \| (\w+) \|", text, re.M)
    names = set()
    for name, kind in table:
        names.update([name + end for end in ("_bucket", "_sum", "_count")] if kind == "histogram" else [name])
    return names


def check_alerts():
    told = set(re.findall(r"^\| `(Xnovu\w+)` \|", open(os.path.join(ROOT, "docs", "observe.md")).read(), re.M))
    groups = yaml.safe_load(open(os.path.join(DOCKER, "prometheus", "alerts.yml")))["groups"]
    there = {rule["alert"] for group in groups for rule in group["rules"]}
    for name in there ^ told:
        find(f"alert {name}: it must stand in docs/observe.md and in prometheus/alerts.yml")


def expressions():
    """Every expression of the alerts and the dashboards, with where it stands."""
    for group in yaml.safe_load(open(os.path.join(DOCKER, "prometheus", "alerts.yml")))["groups"]:
        for rule in group["rules"]:
            yield f"alert {rule['alert']}", rule["expr"]
    directory = os.path.join(DOCKER, "grafana", "dashboards")
    for name in sorted(os.listdir(directory)):
        board = json.load(open(os.path.join(directory, name)))
        for panel in board["panels"]:
            for target in panel["targets"]:
                yield f"{name}: {panel['title']}", target["expr"]
        for variable in board["templating"]["list"]:
            yield f"{name}: ${variable['name']}", variable["query"]["query"]


def check_expressions():
    known, asked = known_metrics(), []
    for place, expression in expressions():
        used = set(re.findall(r"\bxnovu_\w+", expression))
        for name in used - known:
            find(f"{place}: {name} is no metric of docs/observe.md")
        if not expression.startswith("label_values"):
            asked.append(expression.replace("$__rate_interval", "5m").replace("$enterprise", ".*"))
    rules = [{"record": f"checked:{number}", "expr": expression} for number, expression in enumerate(asked)]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump({"groups": [{"name": "checked", "rules": rules}]}, file)
        file.flush()
        ran = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True)
        if ran.returncode:
            find(f"an expression of the dashboards is no PromQL: {ran.stderr or ran.stdout}")


for compose_file in ("docker-compose.yml", "docker-compose.prod.yml"):
    check_compose(compose_file)
check_dockerfile("docker/Dockerfile", ".")
check_dockerfile("docker/bull-board/Dockerfile", "docker/bull-board")
check_alerts()
check_expressions()
for finding in findings:
    print(f"error: {finding}", file=sys.stderr)
sys.exit(1 if findings else 0)
