//! Limits that processes share: one round trip for many of them.

use super::PostgresLedger;
use super::query::each;
use super::row::get;
use super::tx::{doubles, small_numbers, text, texts};
use crate::budgets::{Budgets, Lease, LeaseAsk};
use async_trait::async_trait;
use handover_core::Result;
use std::time::Duration;

#[async_trait]
impl Budgets for PostgresLedger {
    async fn lease(&self, asks: Vec<LeaseAsk>) -> Result<Vec<Lease>> {
        // In one order everywhere, so that two processes do not wait for each other in a circle.
        let mut order: Vec<usize> = (0..asks.len()).collect();
        order.sort_unstable_by(|a, b| asks[*a].key.cmp(&asks[*b].key));
        let sorted = || order.iter().map(|at| &asks[*at]);
        let keys: Vec<&str> = sorted().map(|ask| ask.key.as_str()).collect();
        let apart: Vec<f64> = sorted().map(|ask| ask.each.as_secs_f64()).collect();
        let most: Vec<i32> = sorted().map(|ask| int(ask.most)).collect();
        let owed: Vec<i32> = sorted().map(|ask| ask.owed).collect();
        let wanted: Vec<i32> = sorted().map(|ask| int(ask.wanted)).collect();
        let query = "SELECT taken, remaining, again FROM integration._lease_rates($1, $2, $3, $4, $5)";
        let rows = self
            .rows(
                "share limits",
                query,
                &[
                    texts(&keys),
                    doubles(&apart),
                    small_numbers(&most),
                    small_numbers(&owed),
                    small_numbers(&wanted),
                ],
            )
            .await;
        let got = each(&rows.map_err(|fault| fault.error)?, |row| {
            let (taken, remaining, again): (i32, i32, f64) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
            let count = |number: i32| u32::try_from(number).unwrap_or_default();
            let again = Duration::try_from_secs_f64(again).unwrap_or_default();
            Ok(Lease { taken: count(taken), remaining: count(remaining), again })
        })?;
        let mut leases = vec![Lease { taken: 0, remaining: 0, again: Duration::ZERO }; asks.len()];
        for (at, lease) in order.into_iter().zip(got) {
            leases[at] = lease;
        }
        Ok(leases)
    }

    async fn share(&self, process: &str) -> Result<u32> {
        let query = "SELECT integration._share_rates($1)";
        let rows = self.rows("share limits", query, &[text(&process)]).await.map_err(|fault| fault.error)?;
        let counts: Vec<i64> = each(&rows, |row| get(row, 0))?;
        let count = counts.first().copied().unwrap_or(1);
        Ok(u32::try_from(count).unwrap_or(u32::MAX).max(1))
    }
}

fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
