#!/usr/bin/env python3
"""Holds docker/ to itself, to the program and to docs/promises.md: what the compose files promise stands in PROMISED and REQUIRED here,
word for word; everything they or a Dockerfile name exists, no secret has a default, nothing is published to the world, Redis keeps its data
and evicts none, stops are longer than the graces, Grafana and Prometheus are wired to each other, and every metric of the alerts and
dashboards is one that docs/observe.md has.

Reads the compose files as `docker-compose config` writes them out, and as `docker stack config` does where the docker command has it.
redis_start.py beside this file runs what Redis is started with. Prints each finding; exit code 1 when there is one."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCKER = os.path.join(ROOT, "docker")
DEVELOPMENT, PRODUCTION, PORTS = "docker-compose.yml", "docker-compose.prod.yml", "docker-compose.ports.yml"

# What each file must be given: without one of these it is refused.
REQUIRED = {
    DEVELOPMENT: {
        "NEXT_PUBLIC_SUPABASE_URL": "https://project.supabase.co",
        "SUPABASE_SERVICE_ROLE_KEY": "key-of-the-test",
        "NOVU_SECRET_KEY": "key-of-the-test",
        "REDIS_PASSWORD": "password-of-the-test",
        "BULL_BOARD_PASSWORD": "password-of-the-test",
    },
    PRODUCTION: {
        "NEXT_PUBLIC_SUPABASE_URL": "https://project.supabase.co",
        "DAEMON_ENTERPRISE_IDS": "enterprise-1",
        "XNOVU_IMAGE": "xnovu:test",
        "BULL_BOARD_IMAGE": "xnovu-bull-board:test",
        "XNOVU_PLUGINS_DIR": ROOT,
    },
}

# Tasks, memory in MiB and processors of each service. `docker service scale` names worker and redis-replica.
PROMISED = {
    DEVELOPMENT: {"daemon": (1, None, None), "worker": (2, None, None), "redis": (1, None, None), "bull-board": (1, None, None)},
    PRODUCTION: {
        "daemon": (1, 2048, 1.0),
        "worker": (4, 1536, 1.0),
        "redis": (1, 1024, 1.0),
        "redis-replica": (1, 1024, 0.5),
        "bull-board": (1, 256, 0.5),
        "prometheus": (1, 1024, 0.5),
        "grafana": (1, 512, 0.5),
    },
}

# Published, and by which files together.
PUBLISHED = {
    (DEVELOPMENT,): {"127.0.0.1:3000:3000", "127.0.0.1:3001:3001"},
    (PRODUCTION,): set(),
    (PRODUCTION, PORTS): {"127.0.0.1:3000:3000", "127.0.0.1:3002:3000"},
}

REDIS_SETTINGS = {"maxmemory-policy": "noeviction", "maxmemory": "512mb", "appendonly": "yes", "appendfsync": "everysec"}
DASHBOARDS = {"line.json": "xnovu-line", "enterprises.json": "xnovu-enterprises"}
HEALTH_PORT = 3001

# What answers under way may take at the end, beside the graces of the settings (HTTP_GRACE in cli/serve.rs), in seconds.
HTTP_GRACE_S = 5
findings = []


def find(what):
    findings.append(what)


def expect(what, found, wanted):
    if found != wanted:
        find(f"{what} is {found!r}, and should be {wanted!r}")


def run(command, settings):
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **settings}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def compose(files, settings):
    with tempfile.NamedTemporaryFile() as empty:
        named = [word for name in files for word in ("-f", os.path.join(DOCKER, name))]
        return run(["docker-compose", "--env-file", empty.name, *named, "config"], settings)


def stack(name, settings):
    return run(["docker", "stack", "config", "-c", os.path.join(DOCKER, name)], settings)


def has_stack_config():
    return shutil.which("docker") and run(["docker", "stack", "config", "--help"], {}).returncode == 0


def check_compose(name):
    settings = REQUIRED[name]
    written = compose([name], settings)
    if written.returncode:
        return find(f"{name}: docker-compose config: {written.stderr.strip()}")
    document = yaml.safe_load(written.stdout)
    check_document(name, document)
    for secret, entry in document.get("secrets", {}).items():
        if os.path.basename(entry["file"]) not in made_secrets():
            find(f"{name}: docker/make-secrets does not write {secret}")
        expect(f"{name}: name of secret {secret}", entry["name"], f"xnovu_{secret}_1")
    other = yaml.safe_load(compose([name], {**settings, "SECRETS_VERSION": "2"}).stdout)
    for secret, entry in other.get("secrets", {}).items():
        expect(f"{name}: name of secret {secret} with SECRETS_VERSION=2", entry["name"], f"xnovu_{secret}_2")
    check_required(name)
    return None


def check_required(name):
    """Each required variable is asked for wherever it stands, and a file that is given nothing is refused."""
    text = open(os.path.join(DOCKER, name)).read()
    for variable in REQUIRED[name]:
        asked = re.findall(rf"\$\{{{variable}\b([^}}]*)\}}", text)
        if not asked or not all(one.startswith(":?") for one in asked):
            find(f"{name}: {variable} has a default, or nobody asks for it")
    if compose([name], {}).returncode == 0:
        find(f"{name}: it is taken without a single setting")


def check_stack():
    if not has_stack_config():
        print("note: this docker command has no `stack config`: the files are not read as Swarm reads them", file=sys.stderr)
        return
    settings = REQUIRED[PRODUCTION]
    written = stack(PRODUCTION, settings)
    if written.returncode:
        return find(f"{PRODUCTION}: docker stack config: {written.stderr.strip()}")
    # It warns of what Swarm leaves out, such as the address of a port.
    if written.stderr.strip():
        find(f"{PRODUCTION}: docker stack config says {written.stderr.strip()}")
    document = yaml.safe_load(written.stdout)
    check_document(f"{PRODUCTION} as a stack", document)
    expect(f"{PRODUCTION} as a stack: ports", [entry["ports"] for entry in document["services"].values() if entry.get("ports")], [])
    for variable in settings:
        if stack(PRODUCTION, {key: value for key, value in settings.items() if key != variable}).returncode == 0:
            find(f"{PRODUCTION} as a stack: {variable} has a default, or nobody asks for it")
    return None


def check_document(name, document):
    """One file as one of the two commands reads it."""
    production = name.startswith(PRODUCTION)
    services, promised = document["services"], PROMISED[PRODUCTION if production else DEVELOPMENT]
    if sorted(services) != sorted(promised):
        return find(f"{name}: the services are {sorted(services)}, and should be {sorted(promised)}")
    for service, wanted in promised.items():
        entry = services[service]
        deploy = entry.get("deploy", {})
        limits = deploy.get("resources", {}).get("limits", {})
        memory, processors = limits.get("memory"), limits.get("cpus")
        found = (deploy.get("replicas", 1), mebibytes(memory), processors and float(processors))
        expect(f"{name}: {service}: tasks, MiB and processors", found, wanted)
        expect(f"{name}: {service}: cap_drop", entry.get("cap_drop"), ["ALL"])
        for source, _ in mounts(entry):
            if source.startswith("/") and not os.path.exists(source):
                find(f"{name}: {service} mounts {source}, which does not exist")
        build = entry.get("build")
        if build and not os.path.exists(os.path.join(build["context"], build.get("dockerfile", "Dockerfile"))):
            find(f"{name}: {service} is built from a file that does not exist: {build}")
    for service in ("daemon", "worker"):
        check_program(name, service, services[service])
    for service in ("redis", "redis-replica") if production else ("redis",):
        check_redis(name, service, services[service])
    if production:
        check_watching(name, document)
    return None


def check_program(name, service, entry):
    command = ["daemon"] if service == "daemon" else ["worker", "start", "--health-port", str(HEALTH_PORT)]
    expect(f"{name}: {service}: command", entry["command"], command)
    expect(f"{name}: {service}: read_only", entry.get("read_only"), True)
    expect(f"{name}: {service}: health check", entry.get("healthcheck", {}).get("test"), ["CMD", "xnovu", service, "status", "--live"])
    expect(f"{name}: {service}: DAEMON_HEALTH_HOST", entry["environment"].get("DAEMON_HEALTH_HOST"), "0.0.0.0")
    grace, stop = sum(graces()) + HTTP_GRACE_S, seconds(entry.get("stop_grace_period", "10s"))
    if stop <= grace:
        find(f"{name}: {service} is killed after {stop} s, and its stop may take {grace} s")
    state = entry["environment"].get("XNOVU_STATE_DIR", dockerfile_setting("XNOVU_STATE_DIR"))
    targets = {target: source for source, target in mounts(entry)}
    above = [target for target in targets if state == target or state.startswith(target + "/")]
    if not above:
        find(f"{name}: {service}: nothing that can be written is mounted for {state}")
    # A tmpfs belongs to root, and everybody may write to it: the program refuses it as a state directory.
    if state in targets and not targets[state]:
        find(f"{name}: {service}: the state directory {state} is a tmpfs itself; it must be a directory below one")
    if state in targets and not re.search(rf"^COPY .*--chown=65532:65532 .* {state}$", dockerfile(), re.M):
        find(f"{name}: {service}: the image has no {state} of the user's own, from which a volume takes its owner")


def check_redis(name, service, entry):
    expect(f"{name}: {service}: command", entry["command"], ["sh", "/etc/xnovu-redis/start"])
    expect(f"{name}: {service}: user", entry.get("user"), "999:1000")
    expect(f"{name}: {service}: read_only", entry.get("read_only"), True)
    expect(f"{name}: {service}: stop_grace_period", seconds(entry.get("stop_grace_period", "10s")), 30)
    targets = {target: source for source, target in mounts(entry)}
    expect(f"{name}: {service}: its scripts", targets.get("/etc/xnovu-redis"), os.path.join(DOCKER, "redis"))
    expect(f"{name}: {service}: its settings are written to a tmpfs", targets.get("/tmp"), "")
    expect(f"{name}: {service}: its data", targets.get("/data"), "redis-data" if service == "redis" else None)
    if service == "redis":
        expect(f"{name}: {service}: REDIS_APPENDONLY", entry["environment"].get("REDIS_APPENDONLY"), "yes")
    else:
        expect(f"{name}: {service}: REDIS_REPLICA_OF", entry["environment"].get("REDIS_REPLICA_OF"), "redis 6379")
    settings = {}
    for line in open(os.path.join(DOCKER, "redis", "redis.conf")):
        if line.strip() and not line.startswith("#"):
            key, value = line.split(maxsplit=1)
            settings[key] = value.strip()
    for key, value in REDIS_SETTINGS.items():
        expect(f"redis.conf: {key}", settings.get(key), value)
    limit = mebibytes(entry.get("deploy", {}).get("resources", {}).get("limits", {}).get("memory"))
    if limit and int(settings["maxmemory"].removesuffix("mb")) * 2 > limit:
        find(f"{name}: {service}: maxmemory {settings['maxmemory']} leaves no room for copies in {limit} MiB")


def check_watching(name, document):
    """Prometheus finds every task of daemon and worker, and Grafana finds Prometheus and the dashboards."""
    services = document["services"]
    networks = {service: set(entry["networks"]) for service, entry in services.items()}
    scraped = yaml.safe_load(open(os.path.join(DOCKER, "prometheus", "prometheus.yml")))["scrape_configs"]
    expect("prometheus.yml: jobs", sorted(job["job_name"] for job in scraped), ["xnovu-daemon", "xnovu-worker"])
    for job in scraped:
        (found,) = job["dns_sd_configs"]
        service = job["job_name"].removeprefix("xnovu-")
        expect(f"prometheus.yml: {service}", (found["names"], found["type"], found["port"]), ([service], "A", HEALTH_PORT))
        expect(f"{name}: {service}: endpoint_mode", services[service]["deploy"].get("endpoint_mode"), "dnsrr")
        if not networks[service] & networks["prometheus"]:
            find(f"{name}: prometheus does not reach {service}")
    expect(f"{name}: networks without a way out", [key for key, entry in document["networks"].items() if entry.get("internal")], ["backend"])
    expect(f"{name}: networks of redis", networks["redis"], {"backend"})
    targets = {target: source for source, target in mounts(services["grafana"])}
    provisioning = os.path.join(DOCKER, "grafana", "provisioning")
    expect(f"{name}: provisioning of grafana", targets.get("/etc/grafana/provisioning"), provisioning)
    (provider,) = yaml.safe_load(open(os.path.join(provisioning, "dashboards", "xnovu.yml")))["providers"]
    directory = os.path.join(DOCKER, "grafana", "dashboards")
    expect("where Grafana looks for dashboards", targets.get(provider["options"]["path"]), directory)
    (source,) = yaml.safe_load(open(os.path.join(provisioning, "datasources", "prometheus.yml")))["datasources"]
    expect("the data source of Grafana", (source["type"], source["url"]), ("prometheus", "http://prometheus:9090"))
    if not networks["grafana"] & networks["prometheus"]:
        find(f"{name}: grafana does not reach prometheus")
    boards = {file: json.load(open(os.path.join(directory, file))) for file in os.listdir(directory)}
    expect("the dashboards", {file: board["uid"] for file, board in boards.items()}, DASHBOARDS)
    for file, board in boards.items():
        asked = [place["datasource"]["uid"] for panel in board["panels"] for place in (panel, *panel["targets"])]
        asked += [variable["datasource"]["uid"] for variable in board["templating"]["list"]]
        expect(f"{file}: data sources", set(asked), {source["uid"]})


def check_ports():
    for files, wanted in PUBLISHED.items():
        written = compose(files, REQUIRED[files[0]])
        if written.returncode:
            find(f"{' with '.join(files)}: docker-compose config: {written.stderr.strip()}")
            continue
        services = yaml.safe_load(written.stdout)["services"].values()
        found = {published(port) for entry in services for port in entry.get("ports", [])}
        expect(f"{' with '.join(files)}: published", found, wanted)


def published(port):
    if isinstance(port, str):
        return port.split("/")[0]
    return f"{port.get('host_ip', '')}:{port['published']}:{port['target']}"


def mounts(service):
    """Source and target of each; a tmpfs has no source."""
    for volume in service.get("volumes", []):
        if isinstance(volume, str):
            source, _, target = volume.partition(":")
            yield (source, target.split(":")[0]) if target else ("", source)
        else:
            yield volume.get("source", ""), volume["target"]
    for line in service.get("tmpfs", []):
        yield "", line.split(":")[0]


def mebibytes(text):
    if text is None:
        return None
    units = {"G": 1024, "M": 1}
    return int(float(text[:-1]) * units[text[-1]]) if text[-1] in units else int(text) // 1024**2


def seconds(text):
    return sum(int(number) * {"m": 60, "s": 1}[unit] for number, unit in re.findall(r"(\d+)([ms])", text))


def graces():
    """The defaults of both graces, in seconds, as the table of settings has them. A test holds that table to the program."""
    table = open(os.path.join(ROOT, "docs", "configuration.md")).read()
    for name in ("XNOVU_ADMISSION_GRACE", "XNOVU_WORKER_GRACE"):
        yield int(re.search(rf"^\| `{name}` \| `[^`]+` \| `(\d+)`", table, re.M).group(1)) / 1000


def dockerfile():
    return open(os.path.join(DOCKER, "Dockerfile")).read()


def dockerfile_setting(name):
    return re.search(rf"^(?:ENV)?\s+{name}=(\S+)", dockerfile(), re.M).group(1)


_made = None


def made_secrets():
    """What docker/make-secrets writes, in a copy of its own."""
    global _made
    if _made is None:
        with tempfile.TemporaryDirectory() as directory:
            _made = try_make_secrets(directory)
    return _made


def try_make_secrets(directory):
    copy = os.path.join(directory, "make-secrets")
    shutil.copy(os.path.join(DOCKER, "make-secrets"), copy)
    secrets = os.path.join(directory, "secrets")

    def make(*arguments, **environment):
        return run(["bash", copy, *arguments], {**REQUIRED[DEVELOPMENT], **environment})

    def there():
        return {name: open(os.path.join(secrets, name)).read() for name in os.listdir(secrets)}

    for turn in ("written", "stays as it is"):
        ran = make()
        if ran.returncode or any(turn not in line for line in ran.stdout.splitlines()):
            find(f"make-secrets: a run that should have {turn} says {ran.stdout}{ran.stderr}")
    if os.stat(secrets).st_mode & 0o077:
        find("make-secrets: others can look into secrets/")
    made = there()
    passwords = [value for name, value in made.items() if name.endswith("password")]
    if len(set(passwords)) < len(passwords) or any(len(value) < 64 for value in passwords):
        find("make-secrets: passwords are short or the same")
    path = os.path.join(secrets, "novu_secret_key")
    ran = make("--replace", "novu_secret_key", NOVU_SECRET_KEY="another-key")
    expect("make-secrets --replace novu_secret_key", (ran.returncode, there()), (0, {**made, "novu_secret_key": "another-key"}))
    make("--replace", "redis_password")
    for now in (made, there()):
        expect("make-secrets: redis_url", now["redis_url"], f"redis://:{now['redis_password']}@redis:6379")
    if there()["redis_password"] == made["redis_password"]:
        find("make-secrets --replace redis_password leaves it as it was")
    # A container has the file itself: another one under the same name would never be seen there.
    with open(path) as held:
        make("--replace", "novu_secret_key", NOVU_SECRET_KEY="a-third-key")
        expect("what a container reads that holds the file", held.read(), "a-third-key")
    for wrong in ("redis_url", "nonsense"):
        expect(f"make-secrets --replace {wrong}", make("--replace", wrong).returncode, 64)
    return made


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


def check_alert_tests():
    """Each alert is asked about in both worlds, and what the page and prometheus.yml leave to be filled in is what Prometheus reads."""
    tests = yaml.safe_load(open(os.path.join(DOCKER, "prometheus", "alerts.test.yml")))["tests"]
    asked = [case for test in tests for case in test["alert_rule_test"]]
    speaks = {case["alertname"] for case in asked if case.get("exp_alerts")}
    silent = {case["alertname"] for case in asked if not case.get("exp_alerts")}
    groups = yaml.safe_load(open(os.path.join(DOCKER, "prometheus", "alerts.yml")))["groups"]
    for name in [rule["alert"] for group in groups for rule in group["rules"]]:
        for world, there in (("speak", speaks), ("keep silent", silent)):
            if name not in there:
                find(f"alert {name}: no test of prometheus/alerts.test.yml shows where it must {world}")
    told = open(os.path.join(DOCKER, "prometheus", "prometheus.yml")).read()
    with_alerting = re.sub(r"^#(alerting:| {2,}\S)", r"\1", told, flags=re.M)
    expect("prometheus.yml without its comment signs", "alerting" in yaml.safe_load(with_alerting), True)
    own = re.search(r"### On machines of your own.*?```yaml\n(.*?)```", open(os.path.join(ROOT, "docs", "observe.md")).read(), re.S).group(1)
    expect("docs/observe.md: jobs", sorted(job["job_name"] for job in yaml.safe_load(own)["scrape_configs"]), ["xnovu-daemon", "xnovu-worker"])
    for name, text in (("prometheus.yml with alerting", with_alerting), ("the example of docs/observe.md", own)):
        with tempfile.TemporaryDirectory() as directory:
            shutil.copy(os.path.join(DOCKER, "prometheus", "alerts.yml"), directory)
            path = os.path.join(directory, "prometheus.yml")
            with open(path, "w") as file:
                file.write(text)
            ran = run(["promtool", "check", "config", path], {})
            if ran.returncode:
                find(f"{name}: {ran.stdout}{ran.stderr}")


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


def check_readme():
    """The page of docker/ names files that exist, and gives production every variable it asks for."""
    text = open(os.path.join(DOCKER, "README.md")).read()
    for named in set(re.findall(r"docker/[\w./-]+", text)):
        if named != "docker/secrets/" and not os.path.exists(os.path.join(ROOT, named.rstrip("."))) and not named.startswith("docker/secrets/"):
            find(f"docker/README.md names {named}, which does not exist")
    settings = re.search(r"^\$ cat > prod\.env <<END\n(.*?)^> END$", text, re.M | re.S)
    given = set(re.findall(r"^> (\w+)=", settings.group(1), re.M)) if settings else set()
    expect("docker/README.md: settings of prod.env", given, {*REQUIRED[PRODUCTION], "SECRETS_VERSION"})
    block = ""
    for line in text.splitlines():
        block = "" if line.startswith("```") else block + line + "\n"
        deploys = "docker stack deploy" in line or re.search(r"docker-compose .*prod\.yml.* up ", line)
        if line.startswith("$ ") and deploys and "set -a; . ./prod.env; set +a" not in block:
            find(f"docker/README.md: `{line[2:]}` without `set -a; . ./prod.env; set +a` before it")


for compose_file in (DEVELOPMENT, PRODUCTION):
    check_compose(compose_file)
check_stack()
check_ports()
check_readme()
check_dockerfile("docker/Dockerfile", ".")
check_dockerfile("docker/bull-board/Dockerfile", "docker/bull-board")
check_alerts()
check_alert_tests()
check_expressions()
for finding in findings:
    print(f"error: {finding}", file=sys.stderr)
sys.exit(1 if findings else 0)
