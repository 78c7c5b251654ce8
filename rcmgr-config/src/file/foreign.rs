//! Files of other programs: where their limits are, and what their other keys mean.

use rcmgr_core::{BadConfiguration, LimitsKey};

use super::names::{bad, path, table};
use super::tree::{Entry, Value};
use crate::FileFormat;

/// The tables of limits in a file.
pub(super) struct Found<'t, 'a> {
    pub entries: &'t [Entry<'a>],
    /// The path of the table that contains them; empty for the file itself.
    pub within: String,
    /// kubo's allowlist.
    pub allowlist: Option<&'t Entry<'a>>,
}

/// Finds the limits: in most files at the top, in a configuration of kubo in
/// `Swarm.ResourceMgr.Limits`.
///
/// # Errors
///
/// If the file is a configuration of another program whose limits cannot be read.
pub(super) fn limits_in<'t, 'a>(
    root: &'t [Entry<'a>],
    format: FileFormat,
) -> Result<Found<'t, 'a>, BadConfiguration> {
    let at_the_top = Found {
        entries: root,
        within: String::new(),
        allowlist: None,
    };
    if root.iter().any(|entry| is_limits(&entry.name)) {
        return Ok(at_the_top);
    }
    if let Some(greenfield) = get(root, "Rcmgr") {
        return Err(bad(greenfield, "Rcmgr", GREENFIELD.into()));
    }
    // The outer keys may be left out.
    if let Some(swarm) = get(root, "Swarm") {
        let entries = table(swarm, "Swarm", "ResourceMgr", format)?;
        let manager = get(entries, "ResourceMgr");
        let manager = manager.ok_or_else(|| bad(swarm, "Swarm", KUBO_WITHOUT_LIMITS.into()))?;
        return kubo(manager, "Swarm.ResourceMgr", format);
    }
    if let Some(manager) = get(root, "ResourceMgr") {
        return kubo(manager, "ResourceMgr", format);
    }
    match root {
        [limits] if limits.name == "Limits" => Ok(Found {
            entries: table(limits, "Limits", "limits such as System", format)?,
            within: "Limits".into(),
            allowlist: None,
        }),
        _ => Ok(at_the_top),
    }
}

/// Whether a key is one that only a limits file has. Kubo's configuration has `Addresses` too.
fn is_limits(name: &str) -> bool {
    let scope = LimitsKey::SCOPES.iter().any(|key| key.scope() == name);
    scope
        || LimitsKey::CLASSES.contains(&name)
        || ["DryRun", "SystemLimit", "Waiters"].contains(&name)
}

fn get<'t, 'a>(entries: &'t [Entry<'a>], name: &str) -> Option<&'t Entry<'a>> {
    let mut set = entries.iter();
    set.find(|entry| entry.name == name && !matches!(entry.value, Value::Null))
}

const KUBO_WITHOUT_LIMITS: &str = "this configuration of kubo has no limits: they are in \
    Swarm.ResourceMgr.Limits, or since kubo 0.19 in the file libp2p-resource-limit-overrides.json \
    beside it";

const KUBO_BUDGET: &str = "kubo computes limits from this budget, which a limits file cannot \
    contain: remove it here, and build the file over a budget (in code Budget, on the command line \
    --budget)";

const KUBO_OFF: &str = "kubo's resource manager is switched off, so these limits have no effect \
    there: remove this key to use them";

/// The limits in kubo's `ResourceMgr`.
fn kubo<'t, 'a>(
    manager: &'t Entry<'a>,
    within: &str,
    format: FileFormat,
) -> Result<Found<'t, 'a>, BadConfiguration> {
    let settings = table(manager, within, "Limits", format)?;
    let refuse = |name: &str, reason: &str| match get(settings, name) {
        Some(entry) => Err(bad(entry, &path(within, name), reason.into())),
        None => Ok(()),
    };
    if let Some(entry) = get(settings, "Enabled")
        && matches!(entry.value, Value::Boolean(false))
    {
        return Err(bad(entry, &path(within, "Enabled"), KUBO_OFF.into()));
    }
    let limits = get(settings, "Limits");
    let limits = limits.ok_or_else(|| bad(manager, within, KUBO_WITHOUT_LIMITS.into()))?;
    refuse("MaxMemory", KUBO_BUDGET)?;
    refuse("MaxFileDescriptors", KUBO_BUDGET)?;
    let within = path(within, "Limits");
    Ok(Found {
        entries: table(limits, &within, "limits such as System", format)?,
        within,
        allowlist: get(settings, "Allowlist"),
    })
}

const GREENFIELD: &str = "this configuration of a BNB Greenfield storage provider limits the tasks \
    that it processes, which rcmgr does not do: copy Memory, Conns, ConnsInbound, ConnsOutbound and \
    Fd (here FD) to [System]; the keys of tasks have no counterpart";

const SCALING: &str = "a key of go-libp2p's scaling limits, which depend on the machine; a limits \
    file has fixed limits, such as System.Memory: set these, or build the file over a budget or \
    scaling limits in code";

const WRAPPED: &str = "limits are at the top of the file, or in a configuration of kubo in \
    Swarm.ResourceMgr.Limits; there are no limits beside them";

/// What an unknown key of another program at the top of a file means.
pub(super) fn unknown_table(name: &str) -> Option<&'static str> {
    match name {
        "Swarm" | "ResourceMgr" | "Limits" => Some(WRAPPED),
        "Rcmgr" => Some(GREENFIELD),
        "ServiceLimits" | "ServicePeerLimits" | "ProtocolLimits" | "ProtocolPeerLimits"
        | "PeerLimits" => Some(SCALING),
        // Every scope of go-libp2p 0.18 has a key of its own for memory.
        "SystemMemory" | "TransientMemory" | "ServiceMemory" | "ServicePeerMemory"
        | "ProtocolMemory" | "ProtocolPeerMemory" | "PeerMemory" | "ConnMemory"
        | "StreamMemory" => Some(SCALING),
        _ if name.ends_with("BaseLimit") || name.ends_with("LimitIncrease") => Some(SCALING),
        _ => None,
    }
}

/// What an unknown key of another program in a scope means.
pub(super) fn unknown_field(name: &str) -> Option<&'static str> {
    match name {
        "BaseLimit" | "BaseLimitIncrease" | "LimitIncrease" | "FDFraction" | "Dynamic"
        | "MemoryFraction" | "MinMemory" | "MaxMemory" => Some(SCALING),
        _ => None,
    }
}
