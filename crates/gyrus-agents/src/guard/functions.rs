//! Functions that read nothing but their arguments.

use super::Dialect;

/// Table functions that read nothing but their arguments.
pub(crate) const TABLE_FUNCTIONS: [&str; 2] = ["json_each", "json_tree"];

/// In every dialect, in lower case.
const COMMON: &[&str] = &[
    // Sums over rows.
    "avg", "count", "max", "min", "sum",
    // Over windows.
    "cume_dist", "dense_rank", "first_value", "lag", "last_value", "lead", "nth_value", "ntile", "percent_rank",
    "rank", "row_number",
    // Numbers.
    "abs", "acos", "asin", "atan", "atan2", "ceil", "ceiling", "cos", "degrees", "exp", "floor", "ln", "log", "log10",
    "log2", "mod", "pi", "pow", "power", "radians", "round", "sign", "sin", "sqrt", "tan",
    // Text.
    "char_length", "concat", "concat_ws", "instr", "length", "lower", "ltrim", "replace", "rtrim", "substr",
    "substring", "trim", "upper",
    // Choices.
    "coalesce", "ifnull", "iif", "nullif",
    // Dates.
    "date", "time",
];

const SQLITE: &[&str] = &[
    "char", "concat", "cosh", "acosh", "asinh", "atanh", "sinh", "tanh", "trunc", "datetime", "format", "glob",
    "group_concat", "hex", "json", "json_array", "json_array_length", "json_extract", "json_group_array",
    "json_group_object", "json_object", "json_type", "json_valid", "julianday", "like", "likelihood", "likely",
    "median", "octet_length", "percentile", "percentile_cont", "percentile_disc", "printf", "quote", "random",
    "soundex", "strftime", "string_agg", "timediff", "total", "typeof", "unhex", "unicode", "unixepoch", "unlikely",
    // Operators that SQLite counts as functions.
    "->", "->>", "match", "regexp",
    // What the words CURRENT_DATE, CURRENT_TIME and CURRENT_TIMESTAMP are.
    "current_date", "current_time", "current_timestamp",
];

const POSTGRES: &[&str] = &[
    "age", "array_agg", "array_length", "bool_and", "bool_or", "btrim", "cbrt", "corr", "date_part", "date_trunc",
    "div", "every", "extract", "greatest", "initcap", "json_agg", "json_build_object", "jsonb_agg", "least", "left",
    "lpad", "make_date", "mode", "now", "percentile_cont", "percentile_disc", "position", "regexp_match",
    "regexp_replace", "repeat", "reverse", "right", "rpad", "split_part", "stddev", "stddev_pop", "stddev_samp",
    "string_agg", "strpos", "to_char", "to_date", "to_number", "to_timestamp", "trunc", "unnest", "var_pop",
    "var_samp", "variance", "width_bucket", "current_date", "current_time", "current_timestamp",
];

const MYSQL: &[&str] = &[
    "adddate", "curdate", "current_date", "current_time", "current_timestamp", "date_add", "date_format", "date_sub",
    "datediff", "day", "dayname", "dayofmonth", "dayofweek", "dayofyear", "elt", "field", "find_in_set", "format",
    "greatest", "group_concat", "hour", "if", "isnull", "last_day", "least", "left", "locate", "lpad", "makedate",
    "minute", "month", "monthname", "now", "period_diff", "quarter", "rand", "repeat", "reverse", "right", "rpad",
    "second", "std", "stddev", "stddev_pop", "stddev_samp", "str_to_date", "strcmp", "timestampdiff", "truncate",
    "var_pop", "var_samp", "variance", "week", "weekday", "year",
];

const DUCKDB: &[&str] = &[
    "arg_max", "arg_min", "date_diff", "date_part", "date_trunc", "datediff", "day", "dayname", "greatest", "hour",
    "least", "left", "list", "lpad", "median", "minute", "mode", "month", "monthname", "now", "quantile_cont",
    "quarter", "regexp_matches", "regexp_replace", "reverse", "right", "rpad", "second", "split_part", "stddev",
    "stddev_pop", "stddev_samp", "strftime", "string_agg", "strptime", "trunc", "var_pop", "var_samp", "variance",
    "week", "weekday", "year", "current_date", "current_timestamp",
];

fn own(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Sqlite => SQLITE,
        Dialect::Postgres => POSTGRES,
        Dialect::MySql => MYSQL,
        Dialect::DuckDb => DUCKDB,
    }
}

/// Whether a function, named in lower case, may be called.
pub(crate) fn is_function(dialect: Dialect, name: &str) -> bool {
    COMMON.contains(&name) || own(dialect).contains(&name)
}

/// All functions that may be called.
pub(super) fn all(dialect: Dialect) -> impl Iterator<Item = &'static str> {
    COMMON.iter().chain(own(dialect)).copied()
}
