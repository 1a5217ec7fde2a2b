"""Small programs in compiled languages, as templates; see :mod:`redpajama_data.sample.programs` for the slots."""

from __future__ import annotations

C = """#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_@ENTITIES@ @j@

struct @entity@ {
    char @text@[32];
    double @one@;
    int @two@;
};

static struct @entity@ @entities@[MAX_@ENTITIES@];
static size_t @entity@_count;
<<<
int @entity@_add(const char *@text@, double @one@, int @two@)
{
    struct @entity@ *slot;

    if (@entity@_count == MAX_@ENTITIES@)
        return -1;
    slot = &@entities@[@entity@_count++];
    strncpy(slot->@text@, @text@, sizeof(slot->@text@) - 1);
    slot->@one@ = @one@;
    slot->@two@ = @two@;
    return 0;
}
<<<
/* @remark@ */
static int compare_@one@(const void *left, const void *right)
{
    const struct @entity@ *a = left, *b = right;

    return (a->@one@ > b->@one@) - (a->@one@ < b->@one@);
}

void @entity@_sort(void)
{
    qsort(@entities@, @entity@_count, sizeof(@entities@[0]), compare_@one@);
}
<<<
double @entity@_@verb@(double limit)
{
    double total = 0.0;
    size_t i;

    for (i = 0; i < @entity@_count; i++)
        if (@entities@[i].@one@ < limit)
            total += @entities@[i].@one@ * @entities@[i].@two@;
    return total;
}
"""

CPP = """#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace @entities@ {

struct @Entity@ {
    std::string @text@;
    double @one@ = @j@.0;
    int @two@ = @k@;
};
<<<
template <typename Predicate>
std::vector<@Entity@> @verb@_if(const std::vector<@Entity@> &items, Predicate accept)
{
    std::vector<@Entity@> kept;
    std::copy_if(items.begin(), items.end(), std::back_inserter(kept), accept);
    return kept;
}
<<<
// @remark@
class @Entity@Index {
public:
    void insert(const @Entity@ &item) { by_@text@_[item.@text@].push_back(item); }

    std::size_t size() const
    {
        std::size_t total = 0;
        for (const auto &entry : by_@text@_) total += entry.second.size();
        return total;
    }

private:
    std::map<std::string, std::vector<@Entity@>> by_@text@_;
};
<<<
inline bool heavier(const @Entity@ &a, const @Entity@ &b) { return a.@one@ > b.@one@; }
>>>
}  // namespace @entities@
"""

JAVA = """package org.example.@entities@;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/** @Summary@ */
public class @Entity@ implements Comparable<@Entity@> {
    private static final int DEFAULT_@TWO@ = @k@;

    private final String @text@;
    private double @one@;
    private int @two@ = DEFAULT_@TWO@;

    public @Entity@(String @text@, double @one@) {
        this.@text@ = @text@;
        this.@one@ = @one@;
    }

    public String get@Text@() {
        return @text@;
    }

    @Override
    public int compareTo(@Entity@ other) {
        return Double.compare(@one@, other.@one@);
    }
<<<
    // @remark@
    public static List<@Entity@> @verb@(List<@Entity@> @entities@, double limit) {
        List<@Entity@> result = new ArrayList<>();
        for (@Entity@ item : @entities@) {
            if (item.@one@ < limit) {
                result.add(item);
            }
        }
        result.sort(Comparator.comparing(@Entity@::get@Text@));
        return result;
    }
<<<
    public double total@One@() {
        double total = 0;
        for (int i = 0; i < @two@; i++) {
            total += @one@ / (i + 1);
        }
        return total;
    }
<<<
    @Override
    public String toString() {
        return String.format("%s (%.1f)", @text@, @one@);
    }
>>>
}
"""

CSHARP = """using System;
using System.Collections.Generic;
using System.Linq;

namespace @Entities@
{
    public sealed class @Entity@
    {
        public string @Text@ { get; init; } = "";
        public double @One@ { get; set; } = @j@;
        public int @Two@ { get; set; } = @k@;
    }

    public static class @Entity@Extensions
    {
<<<
        /// <summary>@remark@</summary>
        public static IEnumerable<@Entity@> @Verb@(this IEnumerable<@Entity@> source, double limit)
        {
            return source.Where(item => item.@One@ < limit).OrderBy(item => item.@Text@);
        }
<<<
        public static double Total@One@(this IReadOnlyList<@Entity@> source)
        {
            if (source.Count == 0) throw new ArgumentException("no @entities@ given");
            return source.Sum(item => item.@One@ * item.@Two@);
        }
>>>
    }
}
"""

GO = """package @entities@

import (
	"errors"
	"sort"
)

// @Entity@ is what the rest of the package works on. @Remark@
type @Entity@ struct {
	@Text@ string
	@One@  float64
	@Two@  int
}

var ErrEmpty = errors.New("@entities@: nothing to do")
<<<
// @Verb@ returns the items whose @one@ is below limit.
func @Verb@(items []@Entity@, limit float64) ([]@Entity@, error) {
	if len(items) == 0 {
		return nil, ErrEmpty
	}
	kept := items[:0:0]
	for _, item := range items {
		if item.@One@ < limit {
			kept = append(kept, item)
		}
	}
	return kept, nil
}
<<<
func SortBy@One@(items []@Entity@) {
	sort.Slice(items, func(i, j int) bool { return items[i].@One@ < items[j].@One@ })
}
<<<
func total@Two@(items []@Entity@) (total int) {
	for _, item := range items {
		total += item.@Two@ % @k@
	}
	return total
}
"""

RUST = """use std::collections::HashMap;

/// @Remark@
#[derive(Debug, Clone, PartialEq)]
pub struct @Entity@ {
    pub @text@: String,
    pub @one@: f64,
    pub @two@: u32,
}

impl @Entity@ {
    pub fn new(@text@: &str, @one@: f64) -> Self {
        @Entity@ { @text@: @text@.to_string(), @one@, @two@: @k@ }
    }
}
<<<
pub fn @verb@(@entities@: &[@Entity@], limit: f64) -> Vec<&@Entity@> {
    @entities@.iter().filter(|item| item.@one@ < limit).collect()
}
<<<
pub fn by_@text@(@entities@: Vec<@Entity@>) -> HashMap<String, Vec<@Entity@>> {
    let mut groups: HashMap<String, Vec<@Entity@>> = HashMap::new();
    for item in @entities@ {
        groups.entry(item.@text@.clone()).or_default().push(item);
    }
    groups
}
<<<
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_@two@() {
        assert_eq!(@Entity@::new("@other@", @j@.0).@two@, @k@);
    }
}
"""

SCALA = """package org.example.@entities@

final case class @Entity@(@text@: String, @one@: Double, @two@: Int = @k@)

/** @Remark@ */
object @Entity@ {
<<<
  def @verb@(@entities@: Seq[@Entity@], limit: Double): Seq[@Entity@] =
    @entities@.filter(_.@one@ < limit).sortBy(_.@text@)
<<<
  def total(@entities@: Seq[@Entity@]): Double = @entities@.foldLeft(0.0)((sum, item) => sum + item.@one@)
<<<
  def parse(line: String): Option[@Entity@] = line.split(',') match {
    case Array(@text@, @one@) => Some(@Entity@(@text@.trim, @one@.toDouble))
    case _ => None
  }
>>>
}
"""

HASKELL = """module @Entity@ where

import Data.List (sortOn)
import qualified Data.Map as Map

data @Entity@ = @Entity@
  { @text@ :: String
  , @one@ :: Double
  , @two@ :: Int
  } deriving (Eq, Show)
<<<
-- @remark@
@verb@ :: Double -> [@Entity@] -> [@Entity@]
@verb@ limit = sortOn @one@ . filter ((< limit) . @one@)
<<<
groupBy@Text@ :: [@Entity@] -> Map.Map String [@Entity@]
groupBy@Text@ items = Map.fromListWith (++) [(@text@ item, [item]) | item <- items]
<<<
total@One@ :: [@Entity@] -> Double
total@One@ = sum . map @one@
"""
