//! The replicated state through its public shape: one file of short stories per subject, then properties.

mod backups;
mod clients;
mod clock;
mod divergence;
mod entries;
mod figures;
mod golden;
mod issues;
mod properties;
mod roster;
mod rounds;
mod script;
mod sessions;
mod snapshots;
mod tenures;
mod walk;
