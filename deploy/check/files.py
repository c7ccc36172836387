"""The files of deploy/ as their own tools read them: templates, units, images, plans. Starts nothing.

Usage: files.py [AGENT_SCHEMA]    the JSON schema of the CloudWatch agent's configuration, where there is a copy of it

What cannot be checked here fails, unless the environment names it: ONSALE_CHECK_WITHOUT="agent-schema systemd-analyze".
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.dom.minidom
from pathlib import Path

import jsonschema
import yaml

DEPLOY = Path(__file__).resolve().parent.parent
ROOT = DEPLOY.parent
FREE_METRICS, FREE_ALARMS, FREE_DASHBOARDS = 10, 10, 3
# Where the template is checked: where bills are told, and at home.
REGIONS = ["us-east-1", "ap-northeast-2"]
# What the agent and CloudFormation both keep: days that CloudWatch Logs knows.
GROUPS = {"/onsale/all": 1, "/onsale/important": 7}

mistakes = []
WITHOUT = set(os.environ.get("ONSALE_CHECK_WITHOUT", "").split())


def expect(holds, words):
    if not holds:
        mistakes.append(words)


def can(name, is_here):
    """Whether it is checked. What is not here must be named by who runs this, so that nothing passes unseen."""
    expect(WITHOUT <= {"agent-schema", "systemd-analyze", "promtool"}, f"ONSALE_CHECK_WITHOUT: {sorted(WITHOUT)}")
    if not is_here and name in WITHOUT:
        print(f"NOT checked, as was asked for: {name}")
    else:
        expect(is_here, f"{name} is not here; ONSALE_CHECK_WITHOUT={name} goes on without it")
    return is_here


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    expect(done.returncode == 0, f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}")


def template():
    path = DEPLOY / "cloudwatch" / "template.json"
    run(Path(sys.executable).with_name("cfn-lint"), "--regions", *REGIONS, "--template", path)
    resources = json.loads(path.read_text())["Resources"]
    of = lambda kind: [resource["Properties"] for resource in resources.values() if resource["Type"] == kind]
    alarms = of("AWS::CloudWatch::Alarm")
    expect(len(alarms) <= FREE_ALARMS, f"{len(alarms)} alarms are more than are free")
    expect(len(of("AWS::CloudWatch::Dashboard")) <= FREE_DASHBOARDS, "more dashboards than are free")
    expect(alarms and of("AWS::CloudWatch::Dashboard"), "no alarms, or no dashboard")
    for alarm in alarms:
        page = ROOT / re.search(r"docs/runbook/[a-z-]+\.md", alarm["AlarmDescription"]).group()
        expect(page.is_file(), f"{page} is missing")
    told = {group["LogGroupName"]["Fn::Sub"].replace("${Service}", "onsale"): group["RetentionInDays"] for group in of("AWS::Logs::LogGroup")}
    expect(told == GROUPS, f"log groups: {told}")
    # What is asked for is in the catalogue.
    catalogue = (ROOT / "docs" / "metrics.md").read_text()
    named = {alarm["MetricName"] for alarm in alarms if alarm["Namespace"] == "Onsale"}
    widgets = of("AWS::CloudWatch::Dashboard")[0]["DashboardBody"]["Fn::ToJsonString"]["widgets"]
    lines = [metric for widget in widgets for metric in widget["properties"]["metrics"]]
    named |= {metric[1] for metric in lines if metric[0] == "Onsale"}
    for name in sorted(named):
        expect(f"| `{name}` |" in catalogue, f"{name} is not in docs/metrics.md")
    return alarms


def agent(schema):
    schema = schema if can("agent-schema", schema) else None
    for name in ["agent.json", "agent-free.json"]:
        config = json.loads((DEPLOY / "cloudwatch" / name).read_text())
        if schema:
            for error in jsonschema.Draft4Validator(json.loads(Path(schema).read_text())).iter_errors(config):
                mistakes.append(f"{name}: {'.'.join(map(str, error.absolute_path))}: {error.message}")
        files = config["logs"]["logs_collected"]["files"]["collect_list"]
        told = {file["log_group_name"]: file["retention_in_days"] for file in files}
        expect(told == GROUPS, f"{name}: log groups: {told}")
    # The free one ships logs alone: each measurement of the agent would be a custom metric.
    expect("metrics" not in config, "agent-free.json must not have metrics")


def prometheus():
    """Rules and scrape by Prometheus' own tool, with the alerts' tests; and every metric that they or the dashboard ask for is in the catalogue."""
    folder = DEPLOY / "prometheus"
    promtool = shutil.which("promtool") or Path(sys.executable).parent.parent.parent / "promtool"
    is_here = can("promtool", Path(promtool).exists())
    if is_here:
        run(promtool, "check", "config", "prometheus.yml", cwd=folder)
        run(promtool, "test", "rules", "rules_test.yml", cwd=folder)
    rules = [rule for group in yaml.safe_load((folder / "rules.yml").read_text())["groups"] for rule in group["rules"]]
    for rule in rules:
        page = ROOT / rule["annotations"]["runbook"]
        expect(page.is_file(), f"{rule['alert']}: {page} is missing")
        expect(rule["labels"]["severity"] in {"P0", "P1", "P2", "P3"}, f"{rule['alert']}: severity")
    dashboard = json.loads((DEPLOY / "grafana" / "onsale.json").read_text())
    asked = [rule["expr"] for rule in rules]
    asked += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expect(len(rules) >= 10 and len(asked) - len(rules) >= 20, "rules or panels are missing")
    # What no panel could show is refused by the same tool, as rules.
    if is_here:
        exprs = [expr.replace("$__rate_interval", "1m").replace("$instance", ".*") for expr in asked]
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as scratch:
            yaml.safe_dump({"groups": [{"name": "asked", "rules": [{"record": f"asked:{at}", "expr": expr} for at, expr in enumerate(exprs)]}]}, scratch)
            scratch.flush()
            run(promtool, "check", "rules", "--lint=none", scratch.name)
    catalogue = (ROOT / "docs" / "metrics.md").read_text()
    for name in sorted({name for expr in asked for name in re.findall(r"\bonsale_\w+", expr)}):
        expect(f"| `{re.sub('_bucket$', '', name)}` |" in catalogue, f"{name} is not in docs/metrics.md")


def units():
    folder = DEPLOY / "systemd"
    if not can("systemd-analyze", shutil.which("systemd-analyze")):
        return
    with tempfile.TemporaryDirectory() as scratch:
        for unit in folder.iterdir():
            text = unit.read_text().replace("/usr/local/bin/onsale", "/bin/true")
            Path(scratch, unit.name).write_text(text)
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *sorted(Path(scratch).iterdir())], capture_output=True, text=True, check=False
        )
        # Warnings count, but for what this machine's own units say.
        told = [line for line in done.stderr.splitlines() if "onsale" in line]
        expect(done.returncode == 0 and not told, f"systemd-analyze verify: {done.stderr}")
        for name in ["onsale.service", "onsale-backup.service"]:
            done = subprocess.run(
                ["systemd-analyze", "security", "--offline=true", "--threshold=20", Path(scratch, name)],
                capture_output=True, text=True, check=False,
            )
            expect(done.returncode == 0, f"{name} is not hardened any more: {done.stdout.splitlines()[-1:]}{done.stderr}")


def containers():
    compose = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text())
    services = compose["services"]
    expect(set(services) == {"server", "postgres", "redis"}, f"services: {sorted(services)}")
    expect(set(services["server"]["depends_on"]) == {"postgres", "redis"}, "the server waits for both")
    known = set(re.findall(r"^# ?([a-z_]+) = |^([a-z_]+) = ", (ROOT / "config.toml").read_text(), re.M))
    known = {a or b for a, b in known}
    image = (DEPLOY / "docker" / "Dockerfile").read_text()
    keys = [key for key in services["server"]["environment"] if key.startswith("ONSALE__")]
    keys += re.findall(r"ONSALE__\w+", image)
    expect(keys, "no setting of the server is looked at")
    for key in keys:
        expect(key.split("__")[-1].lower() in known, f"{key} is no key of config.toml")
    expect("\nUSER onsale" in image, "the image must not run as root")
    run(Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", DEPLOY / "docker" / "compose.yaml")
    # Docker itself, where there is one, also fills in the variables; Debian has none of the second version.
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        run("docker", "compose", "--file", DEPLOY / "docker" / "compose.yaml", "config", "--quiet", env={"POSTGRES_PASSWORD": "x", "ONSALE_SECRET": "x", "PATH": "/usr/bin:/bin:/usr/local/bin"})


def plans():
    found = list((DEPLOY / "jmeter").glob("*.jmx"))
    expect(found, "there is no JMeter plan")
    for plan in found:
        document = xml.dom.minidom.parse(str(plan))
        expect(document.documentElement.tagName == "jmeterTestPlan", f"{plan.name} is no JMeter plan")
        paths = [node.firstChild.data for node in document.getElementsByTagName("stringProp") if node.getAttribute("name") == "HTTPSampler.path"]
        # What no JMeter before 3 loads.
        newer = {"JSR223PreProcessor", "JSR223PostProcessor", "JSR223Sampler", "JSONPostProcessor", "JSONPathAssertion"}
        used = {node.getAttribute("testclass") for node in document.getElementsByTagName("*")}
        expect(not used & newer and "__groovy" not in plan.read_text(), f"{plan.name} needs a newer JMeter: {sorted(used & newer)}")
        expect(len(paths) >= 5 and all(path.startswith("/") for path in paths), f"{plan.name}: {paths}")


def main():
    template()
    agent(sys.argv[1] if len(sys.argv) > 1 else None)
    prometheus()
    units()
    containers()
    plans()
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    print(f"deploy/: {len(mistakes)} mistakes")
    sys.exit(1 if mistakes else 0)


if __name__ == "__main__":
    main()
