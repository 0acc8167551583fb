//! Where a limit remembers who asked when: at most so many, whoever comes.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;

/// A state for each of the first `most` keys, and one that all others share: a crowd of newcomers then has less, and
/// takes neither memory nor anything from those who were here before.
#[derive(Debug)]
pub(super) struct Bounded<K> {
    most: usize,
    states: Mutex<States<K>>,
}

#[derive(Debug)]
struct States<K> {
    own: HashMap<K, Nanos>,
    shared: Option<Nanos>,
}

impl<K> Bounded<K> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, states: Mutex::new(States { own: HashMap::new(), shared: None }) }
    }

    fn lock(&self) -> MutexGuard<'_, States<K>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Clone> StateStore for Bounded<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut states = self.lock();
        if let Some(state) = states.own.get_mut(key) {
            let (outcome, next) = f(Some(*state))?;
            *state = next;
            return Ok(outcome);
        }
        if states.own.len() < self.most {
            let (outcome, next) = f(None)?;
            states.own.insert(key.clone(), next);
            return Ok(outcome);
        }
        let (outcome, next) = f(states.shared)?;
        states.shared = Some(next);
        Ok(outcome)
    }
}

impl<K: Hash + Eq + Clone> ShrinkableKeyedStateStore<K> for Bounded<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        self.lock().own.retain(|_, state| *state > drop_below);
    }

    fn shrink_to_fit(&self) {
        self.lock().own.shrink_to_fit();
    }

    fn len(&self) -> usize {
        self.lock().own.len()
    }

    fn is_empty(&self) -> bool {
        self.lock().own.is_empty()
    }
}
