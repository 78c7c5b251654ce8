//! The process of the attackers.

use std::sync::atomic::Ordering;

use super::Result;
use super::process::{self, Role};
use super::support::Kind;
use super::support::attack::{Attack, Attackers};

pub fn run(arguments: &[&str]) -> Result<()> {
    let [kind, attack, target] = process::take_place(Role::Attackers, arguments)? else {
        return Err("attackers need a transport, an attack and a target".into());
    };
    let attackers = Attackers::start(Attack::named(attack), Kind::named(kind), &target.parse()?);
    let attacks = attackers.attacks.clone();
    process::answer_with(move || attacks.load(Ordering::Relaxed));
    // Until the process is killed.
    loop {
        std::thread::park();
    }
}
