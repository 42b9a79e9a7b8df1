"""The container runtime's side of CNI, after libcni: runs the plugins of a configuration list in order, hands each the
result of the one before, keeps the last result for CHECK and DEL, and runs DEL in reverse."""
import contextlib
import json
import os
import subprocess

from . import netns
from .layout import LabError, write_json

TRY_AGAIN = 11


class CniError(LabError):
    def __init__(self, verb, plugin, error):
        self.code = error.get("code", 999)
        details = f" ({error['details']})" if error.get("details") else ""
        super().__init__(f"{plugin} {verb}: code {self.code}: {error.get('msg', 'no message')}{details}")


class Runtime:
    """CNI on one node."""

    def __init__(self, node):
        self.node = node

    def add(self, sandbox):
        config, result = self._config(), None
        for plugin in config["plugins"]:
            result = self._call("ADD", config, plugin, sandbox, result)
        write_json(self._cache(sandbox), {"sandbox": sandbox, "config": config, "result": result})
        return result

    def delete(self, sandbox):
        """Also after an ADD that failed, and a second time."""
        config, result = self._config(), None
        with contextlib.suppress(OSError, ValueError), open(self._cache(sandbox)) as file:
            kept = json.load(file)
            config, result = kept["config"], kept["result"]
        for plugin in reversed(config["plugins"]):
            self._call("DEL", config, plugin, sandbox, result)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._cache(sandbox))

    def check(self, sandbox):
        with open(self._cache(sandbox)) as file:
            kept = json.load(file)
        for plugin in kept["config"]["plugins"]:
            self._call("CHECK", kept["config"], plugin, sandbox, kept["result"])

    def _config(self):
        with open(self.node.cni_conf()) as file:
            return json.load(file)

    def _cache(self, sandbox):
        return self.node.path("cni", "results", f"{sandbox['id']}-{sandbox['ifname']}.json")

    def _call(self, verb, config, plugin, sandbox, previous):
        request = {name: value for name, value in plugin.items() if name != "capabilities"}
        request |= {"cniVersion": config["cniVersion"], "name": config["name"]}
        runtime = {name: sandbox[name] for name, on in plugin.get("capabilities", {}).items()
                   if on and sandbox.get(name)}
        if runtime:
            request["runtimeConfig"] = runtime
        if previous is not None:
            request["prevResult"] = previous
        env = self.node.environment(
            CNI_COMMAND=verb, CNI_CONTAINERID=sandbox["id"], CNI_NETNS=sandbox["netns"], CNI_IFNAME=sandbox["ifname"],
            CNI_ARGS=";".join(["IgnoreUnknown=1", *(f"{name}={value}" for name, value in sandbox["args"].items())]))
        done = netns.call(self.node.netns, subprocess.run, [find(plugin["type"], env["CNI_PATH"])], env=env,
                          input=json.dumps(request).encode(), capture_output=True)
        if done.returncode != 0:
            try:
                error = json.loads(done.stdout)
            except ValueError:
                error = {"msg": f"exit {done.returncode}: {(done.stdout + done.stderr).decode(errors='replace')!r}"}
            raise CniError(verb, plugin["type"], error)
        return json.loads(done.stdout) if verb == "ADD" else None


def find(plugin, path):
    for folder in path.split(":"):
        candidate = os.path.join(folder, plugin)
        if os.access(candidate, os.X_OK):
            return candidate
    raise LabError(f"the plugin {plugin} is not found in {path}; build it first, or set SLUICE_BUILD")
