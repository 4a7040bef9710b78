//! The verifier as a whole, beside what it should say and what others say.

mod differential;
mod hostile;
mod judges;
mod keys;
mod matrix;
mod mint;
mod mutations;
mod properties;
mod random;
mod vectors;
