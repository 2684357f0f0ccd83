"""What daemons are made of: questions, process, config, a copied root, and what a killed one leaves in its folder.

In: paths, process numbers, addresses. Out: answers, files, or their absence. `sim.real.daemon` puts it together.
"""

from sim.real.node import left
from sim.real.node.config import config_text
from sim.real.node.copying import copy_root
from sim.real.node.left import group_name
from sim.real.node.process import Process
from sim.real.node.questions import CacheRecord, Node, RemoteDaemon, Tls
from sim.real.node.sweep import containers, mounts, sweep

__all__ = [
    "CacheRecord",
    "Node",
    "Process",
    "RemoteDaemon",
    "Tls",
    "config_text",
    "containers",
    "copy_root",
    "group_name",
    "left",
    "mounts",
    "sweep",
]
