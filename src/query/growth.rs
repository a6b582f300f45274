//! Bounds functions whose result may be much larger than their arguments, such as `repeat('x', 2000000000)`: the size of the result is computed
//! before the call, and one that is too large is an error.
//!
//! The engine's memory pool tracks sorts, joins and aggregations, but not what a function allocates. So a single value could take all memory.

use arrow::array::{Array, Int64Array};
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DataFusionError, ExprSchema, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    StructFieldMapping,
};
use datafusion::prelude::SessionContext;

use super::error::ExceededError;

/// How the size of a result follows from the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Growth {
    /// `f(text, times)`
    Repeat,
    /// `f(text, characters[, fill])`
    Pad,
    /// `f(text, from, to)`
    Replace,
    /// `f(element, times)`
    RepeatElement,
    /// `f(list, items[, element])`
    Resize,
    /// `f(stop)`, `f(start, stop[, step])`
    Range,
    /// `f(list, separator)`
    Join,
}

const FUNCTIONS: [(&str, Growth); 9] = [
    ("repeat", Growth::Repeat),
    ("lpad", Growth::Pad),
    ("rpad", Growth::Pad),
    ("replace", Growth::Replace),
    ("array_repeat", Growth::RepeatElement),
    ("array_resize", Growth::Resize),
    ("range", Growth::Range),
    ("generate_series", Growth::Range),
    ("array_to_string", Growth::Join),
];

/// Wraps these functions of a session.
pub(super) fn bound_functions(context: &SessionContext, bytes_max: usize) {
    let state = context.state();
    for (name, growth) in FUNCTIONS {
        if let Some(inner) = state.scalar_functions().get(name) {
            let bounded = Bounded { inner: inner.as_ref().clone(), growth, bytes_max: bytes_max as u64 };
            context.register_udf(ScalarUDF::new_from_impl(bounded));
        }
    }
}

/// A function that fails if its result would take more than `bytes_max`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: ScalarUDF,
    growth: Growth,
    bytes_max: u64,
}

impl Bounded {
    fn check(&self, args: &ScalarFunctionArgs) -> Result<()> {
        let bytes = self.growth.bytes(&args.args, args.number_rows)?;
        if bytes > self.bytes_max {
            let error = ExceededError::Value { function: self.inner.name().to_owned(), bytes_max: self.bytes_max };
            return Err(DataFusionError::External(Box::new(error)));
        }
        Ok(())
    }
}

impl Growth {
    /// An upper bound of the bytes of the result, over all rows.
    fn bytes(self, args: &[ColumnarValue], rows: usize) -> Result<u64> {
        let rows = if args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_))) { 1 } else { rows };
        let sum = |of_row: &dyn Fn(usize) -> u64| (0..rows).map(of_row).fold(0, u64::saturating_add);
        let number = |index: usize| Numbers::of(args.get(index));
        let size = |index: usize| Numbers::lengths(args.get(index));
        Ok(match self {
            Self::Repeat => {
                let (text, times) = (size(0)?, number(1)?);
                sum(&|row| text.at(row).saturating_mul(times.at(row)))
            }
            Self::Pad => {
                let characters = number(1)?;
                sum(&|row| characters.at(row).saturating_mul(CHAR_BYTES_MAX))
            }
            Self::Replace => {
                let (text, from, to) = (size(0)?, size(1)?, size(2)?);
                sum(&|row| (text.at(row) / from.at(row).max(1)).saturating_add(1).saturating_mul(to.at(row)).saturating_add(text.at(row)))
            }
            Self::RepeatElement => {
                let (element, times) = (element_bytes(args.first()), number(1)?);
                sum(&|row| times.at(row).saturating_mul(element))
            }
            Self::Resize => {
                let (items, element) = (number(1)?, element_bytes(args.get(2)));
                sum(&|row| items.at(row).saturating_mul(element))
            }
            Self::Range => {
                let (first, last) = if args.len() < 2 { (Numbers::default(), number(0)?) } else { (number(0)?, number(1)?) };
                let step = if args.len() < 3 { Numbers::default() } else { number(2)? };
                sum(&|row| (first.signed(row).abs_diff(last.signed(row)) / step.signed(row).unsigned_abs().max(1)).saturating_mul(8))
            }
            Self::Join => {
                let (items, separator) = (size(0)?, size(1)?);
                sum(&|row| items.at(row).saturating_mul(separator.at(row)))
            }
        })
    }
}

/// The most bytes of a character in UTF-8.
const CHAR_BYTES_MAX: u64 = 4;

/// Bytes of one item of a list, at least those of its offset. For a column it is the average.
fn element_bytes(arg: Option<&ColumnarValue>) -> u64 {
    let bytes = match arg {
        None => 0,
        Some(ColumnarValue::Scalar(value)) => value.size(),
        Some(ColumnarValue::Array(values)) => values.get_array_memory_size() / values.len().max(1),
    };
    (bytes as u64).max(8)
}

/// An argument as numbers: one per row, or one for all rows. `None` counts as 0.
#[derive(Default)]
struct Numbers(Option<Int64Array>);

impl Numbers {
    /// The argument itself; `None` if it is not a number but an interval, for example.
    fn of(arg: Option<&ColumnarValue>) -> Result<Self> {
        let Some(arg) = arg else { return Ok(Self::default()) };
        let array = arg.to_array(1)?;
        let numbers = array.data_type().is_integer().then(|| cast(&array, &DataType::Int64)).transpose()?;
        Ok(Self(numbers.and_then(|numbers| numbers.as_any().downcast_ref().cloned())))
    }

    /// The length of the argument: bytes of a text, items of a list.
    fn lengths(arg: Option<&ColumnarValue>) -> Result<Self> {
        let Some(arg) = arg else { return Ok(Self::default()) };
        let array = arg.to_array(1)?;
        if array.data_type().is_null() {
            return Ok(Self::default());
        }
        let lengths = cast(&length(&array)?, &DataType::Int64)?;
        Ok(Self(lengths.as_any().downcast_ref().cloned()))
    }

    fn signed(&self, row: usize) -> i64 {
        let Some(numbers) = &self.0 else { return 0 };
        let row = if numbers.len() == 1 { 0 } else { row };
        if row < numbers.len() && numbers.is_valid(row) { numbers.value(row) } else { 0 }
    }

    /// The number of a row; null and negative numbers are 0.
    fn at(&self, row: usize) -> u64 {
        u64::try_from(self.signed(row)).unwrap_or(0)
    }
}

#[deny(clippy::missing_trait_methods, reason = "a method that is not forwarded would change the function")]
impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.inner().name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.inner().aliases()
    }

    #[expect(deprecated, reason = "forwarded as long as it exists")]
    fn display_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.display_name(args)
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    #[expect(deprecated, reason = "forwarded as long as it exists")]
    fn is_nullable(&self, args: &[Expr], schema: &dyn ExprSchema) -> bool {
        self.inner.is_nullable(args, schema)
    }

    fn is_strict(&self) -> bool {
        self.inner.is_strict()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&args)?;
        self.inner.invoke_with_args(args)
    }

    fn with_updated_config(&self, _: &ConfigOptions) -> Option<ScalarUDF> {
        None
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn preimage(&self, args: &[Expr], literal: &Expr, info: &SimplifyContext) -> Result<PreimageResult> {
        self.inner.preimage(args, literal, info)
    }

    fn conditional_arguments<'a>(&self, args: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.inner.conditional_arguments(args)
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        self.inner.evaluate_bounds(inputs)
    }

    fn propagate_constraints(&self, interval: &Interval, inputs: &[&Interval]) -> Result<Option<Vec<Interval>>> {
        self.inner.propagate_constraints(interval, inputs)
    }

    fn struct_field_mapping(&self, literals: &[Option<ScalarValue>]) -> Option<StructFieldMapping> {
        self.inner.struct_field_mapping(literals)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn preserves_lex_ordering(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.inner.preserves_lex_ordering(inputs)
    }

    fn strictly_order_preserving(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.inner.strictly_order_preserving(inputs)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        self.inner.placement(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn row_count(sql: &str) -> Result<usize> {
        let context = SessionContext::new();
        bound_functions(&context, 1_000_000);
        Ok(context.sql(sql).await?.collect().await?.iter().map(arrow::array::RecordBatch::num_rows).sum())
    }

    #[tokio::test]
    async fn values_that_would_be_too_large_are_refused_before_the_call() {
        for call in [
            "repeat('x', 2000000000)",
            "repeat(a, 2000000000)",
            "lpad(a, 2000000000)",
            "rpad('x', 2000000000, 'yz')",
            "replace(repeat('x', 900000), 'x', 'yyyy')",
            "array_repeat('x', 2000000000)",
            "list_repeat(array_repeat('x', 1000), 1000000)",
            "array_resize([1], 2000000000, 7)",
            "range(0, 2000000000)",
            "range(2000000000)",
            "generate_series(0, -2000000000, -1)",
            "array_to_string(array_repeat(1, 10000), repeat('x', 900000))",
        ] {
            let error = row_count(&format!("SELECT {call} FROM (VALUES ('a'), ('b')) AS t (a)")).await.unwrap_err().to_string();
            assert!(error.contains("would return a value"), "{call}: {error}");
        }
    }

    #[tokio::test]
    async fn ordinary_calls_are_unaffected() {
        let sql = "SELECT repeat(a, 3), lpad(a, 9, '0'), replace(a, 'a', 'bb'), array_repeat(a, 2), range(1, 9, 2), generate_series(9),
            array_to_string([a, a], ', '), repeat(null, 3), generate_series(TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-02', INTERVAL '1 hour')
            FROM (VALUES ('a'), (null)) AS t (a)";
        assert_eq!(row_count(sql).await.unwrap(), 2);
    }
}
