"""Evaluation of NetworkPolicy objects for one connection.

Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/. A connection needs permission on the
sender's and on the receiver's side; a pod that no policy selects for a direction is free in it. Named ports and
`endPort` are not used here, and refused.
"""

import ipaddress
from dataclasses import dataclass, field
from typing import Any

Policy = dict[str, Any]


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod with its namespace, or an outside host."""

    address: str
    namespace: str | None = None
    labels: dict[str, str] = field(default_factory=dict)


def _selected(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    if any(labels.get(name) != value for name, value in selector.get("matchLabels", {}).items()):
        return False
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In", "write another operator into this evaluator first"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True


def _is_peer(peer: dict[str, Any], other: End, home: str) -> bool:
    if "ipBlock" in peer:
        block, address = peer["ipBlock"], ipaddress.ip_address(other.address)
        inside = address in ipaddress.ip_network(block["cidr"])
        return inside and not any(address in ipaddress.ip_network(one) for one in block.get("except", []))
    if other.namespace is None:
        return False
    if "namespaceSelector" in peer:
        if not _selected(peer["namespaceSelector"], {"kubernetes.io/metadata.name": other.namespace}):
            return False
    elif other.namespace != home:
        return False
    return _selected(peer.get("podSelector", {}), other.labels)


def _rule_allows(rule: dict[str, Any], peers: str, other: End, home: str, port: int, protocol: str) -> bool:
    ports = rule.get("ports", [])
    assert all(isinstance(one["port"], int) and "endPort" not in one for one in ports)
    if ports and not any(one["port"] == port and one.get("protocol", "TCP") == protocol for one in ports):
        return False
    return not rule.get(peers) or any(_is_peer(peer, other, home) for peer in rule[peers])


def _side_allows(policies: list[Policy], direction: str, own: End, other: End, port: int, protocol: str) -> bool:
    choosing = [
        policy
        for policy in policies
        if policy["metadata"]["namespace"] == own.namespace
        and direction in policy["spec"]["policyTypes"]
        and _selected(policy["spec"]["podSelector"], own.labels)
    ]
    peers = {"Ingress": "from", "Egress": "to"}[direction]
    return not choosing or any(
        _rule_allows(rule, peers, other, policy["metadata"]["namespace"], port, protocol)
        for policy in choosing
        for rule in policy["spec"].get(direction.lower(), [])
    )


def may_connect(policies: list[Policy], sender: End, receiver: End, port: int, protocol: str = "TCP") -> bool:
    """Return True if the policies allow a connection to that port of the receiver."""
    return _side_allows(policies, "Egress", sender, receiver, port, protocol) and _side_allows(
        policies, "Ingress", receiver, sender, port, protocol
    )
