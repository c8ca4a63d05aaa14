//! Whole nodes in virtual time: what they do together, and what they keep to when everything goes wrong.

mod checks;
mod dice;
mod faults;
mod founding;
mod joining;
mod member;
mod requests;
mod rounds;
mod seeds;
mod sim;
mod tenures;
mod witness;
mod worker;
