//! What one run needs to know of its table: where every column stands that a lookup, an aggregate or an expression uses.
//!
//! Invariant: a run begins only when all of them are found; else the whole file is refused, with the reason.

use super::Enricher;
use super::join::Join;
use crate::expression::Expression;
use crate::table::Header;
use handover_core::suggest::nearest;
use handover_core::{Error, Result};

/// Where a new column comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot {
    /// A cell of a joined row.
    Joined(usize, usize),
    /// A calculated column.
    Computed(usize),
}

/// Columns and what finds them.
pub(super) struct Plan {
    /// For each join, where its key stands among old and new columns.
    pub(super) keys: Vec<Vec<usize>>,
    /// For each aggregate, where its arguments stand.
    pub(super) arguments: Vec<Vec<usize>>,
    /// The expressions over old and new columns.
    pub(super) computed: Vec<Expression>,
    /// Where the new columns come from.
    pub(super) slots: Vec<Slot>,
    /// How many columns the file has.
    pub(super) width: usize,
}

impl Plan {
    /// Finds every column, or says why the whole file is refused.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::BadData`] naming the column.
    pub(super) fn new(app: &Enricher, header: &Header) -> Result<Self> {
        let mut names = header.names.clone();
        let width = names.len();
        if let Some(name) = app.new_names().find(|name| header.names.contains(name)) {
            return Err(Error::bad_data(format!("the file has a column {name:?} already"))
                .hint("give the new column another name in `take`, `aggregate` or `compute`"));
        }
        let mut plan =
            Self { keys: Vec::new(), arguments: Vec::new(), computed: Vec::new(), slots: Vec::new(), width };
        for (index, join) in app.joins.iter().enumerate() {
            let what = join.what();
            // An aggregate is over the columns of the file alone: it is added up before anything is joined.
            let known = if join.totals().is_some() { &header.names } else { &names };
            let key = join.keys().iter().map(|name| find(&what, name, known)).collect::<Result<_>>()?;
            let arguments = join.totals().map_or(&[][..], |totals| &totals.arguments);
            let arguments = arguments.iter().map(|name| find(&what, name, known)).collect::<Result<_>>()?;
            plan.keys.push(key);
            plan.arguments.push(arguments);
            plan.slots.extend((0..join.names().len()).map(|cell| Slot::Joined(index, cell)));
            names.extend_from_slice(join.names());
        }
        for (index, (name, expression)) in app.computed.iter().enumerate() {
            let what = format!("compute: {name} (`{}`)", expression.source());
            expression.names().try_for_each(|used| find(&what, used, &names).map(drop))?;
            plan.computed.push(expression.bind(&names)?);
            plan.slots.push(Slot::Computed(index));
            names.push(name.clone());
        }
        Ok(plan)
    }
}

/// Where a column stands.
fn find(what: &str, name: &str, names: &[String]) -> Result<usize> {
    let mut found = names.iter().enumerate().filter(|(_, known)| *known == name).map(|(index, _)| index);
    match (found.next(), found.next()) {
        (Some(index), None) => Ok(index),
        (Some(_), Some(_)) => {
            Err(Error::bad_data(format!("{what} uses {name:?}, and the file has two such columns")))
        }
        (None, _) => {
            let error = Error::bad_data(format!("{what} uses {name:?}, which the file does not have"));
            Err(match nearest(name, names.iter().map(String::as_str)) {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error.hint(format!("it has: {}", names.join(", "))),
            })
        }
    }
}

/// What is joined, for people.
impl Join {
    pub(super) fn what(&self) -> String {
        match self {
            Join::Lookup(lookup) => format!("the lookup in {}", lookup.reference.shown),
            Join::Aggregate(_) => "the aggregate".to_owned(),
        }
    }
}
