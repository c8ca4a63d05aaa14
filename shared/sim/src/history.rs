//! What clients did to some keys, each a register, and what they were told.
//!
//! A register is given up before its history is too long to judge, and another key takes its place.

use crate::linearizability::{Action, Operation, is_linearizable};
use rafty_types::Time;

/// A register is given up after this many operations, or after this many of which nobody knows what became of them:
/// the search grows with those.
const MAX_OPERATIONS: usize = 60;
const MAX_UNKNOWN: usize = 8;

/// An operation of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationId {
    register: usize,
    operation: usize,
}

/// All registers there were.
#[derive(Debug, Default)]
pub struct History {
    registers: Vec<Register>,
    judged: usize,
}

#[derive(Debug, Default)]
struct Register {
    /// What was denied is no operation any more.
    operations: Vec<Option<Operation>>,
    unknown: usize,
    under_way: usize,
    judged: bool,
}

impl History {
    /// The key of the register in the `slot`-th place of so many, and its number.
    pub fn key(register: usize) -> Vec<u8> {
        format!("register {register}").into_bytes()
    }

    /// The register in use in this place, of `places`.
    pub fn register(&mut self, place: usize, places: usize) -> usize {
        let mut register = place;
        loop {
            while self.registers.len() <= register {
                self.registers.push(Register::default());
            }
            if !self.registers[register].is_used_up() {
                return register;
            }
            register += places;
        }
    }

    /// An operation was called.
    pub fn called(&mut self, register: usize, action: Action, now: Time) -> OperationId {
        let Register { operations, under_way, .. } = &mut self.registers[register];
        operations.push(Some(Operation { action, called: now, returned: None }));
        *under_way += 1;
        OperationId { register, operation: operations.len() - 1 }
    }

    /// It returned; `action` has its answer.
    pub fn returned(&mut self, id: OperationId, action: Action, now: Time) {
        let register = &mut self.registers[id.register];
        register.under_way -= 1;
        if let Some(operation) = &mut register.operations[id.operation] {
            *operation = Operation { action, returned: Some(now), ..*operation };
        }
    }

    /// It surely did not happen.
    pub fn denied(&mut self, id: OperationId) {
        let register = &mut self.registers[id.register];
        register.under_way -= 1;
        register.operations[id.operation] = None;
    }

    /// Nobody will ever say what became of it.
    pub fn unknown(&mut self, id: OperationId) {
        let register = &mut self.registers[id.register];
        register.under_way -= 1;
        register.unknown += 1;
    }

    /// Judges every register that is used up, or all of them when `all`. Returns a key whose history cannot be
    /// explained, with that history.
    pub fn judge(&mut self, all: bool) -> Option<(usize, Vec<Operation>)> {
        for (number, register) in self.registers.iter_mut().enumerate() {
            let ready = all || register.is_used_up() && register.under_way == 0;
            if register.judged || !ready {
                continue;
            }
            register.judged = true;
            self.judged += 1;
            let operations: Vec<_> = register.operations.iter().flatten().copied().collect();
            if !is_linearizable(&operations) {
                return Some((number, operations));
            }
            register.operations = Vec::new();
        }
        None
    }

    /// How many registers were judged.
    pub fn judged(&self) -> usize {
        self.judged
    }
}

impl Register {
    fn is_used_up(&self) -> bool {
        self.judged || self.operations.len() >= MAX_OPERATIONS || self.unknown >= MAX_UNKNOWN
    }
}
