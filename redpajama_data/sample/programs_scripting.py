"""Small programs in scripting languages, as templates; see :mod:`redpajama_data.sample.programs` for the slots."""

from __future__ import annotations

PYTHON = '''"""@Summary@"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class @Entity@:
    """@Remark@"""

    @text@: str
    @one@: float
    @two@: int = @k@

    @property
    def @one@_per_@two@(self) -> float:
        return self.@one@ / self.@two@ if self.@two@ else 0.0


def read_@entities@(path: Path) -> list[@Entity@]:
    with path.open(newline="", encoding="utf-8") as handle:
        rows = csv.DictReader(handle)
        return [@Entity@(row["@text@"], float(row["@one@"]), int(row["@two@"])) for row in rows]
<<<
def total_@one@(@entities@: list[@Entity@], limit: float = @j@) -> float:
    # @remark@
    return sum(item.@one@ for item in @entities@ if item.@one@ < limit)
<<<
def @verb@_by_@text@(@entities@: list[@Entity@]) -> dict[str, list[@Entity@]]:
    groups: dict[str, list[@Entity@]] = {}
    for item in @entities@:
        groups.setdefault(item.@text@, []).append(item)
    return groups
<<<
def longest_run(values: list[int]) -> int:
    """Length of the longest run of equal @two@ values."""
    best = run = 0
    previous: int | None = None
    for value in values:
        run = run + 1 if value == previous else 1
        best, previous = max(best, run), value
    return best
<<<
def test_@one@_per_@two@():
    @entity@ = @Entity@("@other@", @j@.0, @k@)
    assert round(@entity@.@one@_per_@two@ * @k@) == @j@
'''

JAVASCRIPT = """'use strict';

const fs = require('fs');

const DEFAULT_@ONE@ = @j@;

function parse@Entity@(line) {
  const [@text@, @one@, @two@] = line.split(',');
  return { @text@: @text@.trim(), @one@: Number(@one@), @two@: Number(@two@) };
}

function read@Entities@(file) {
  return fs.readFileSync(file, 'utf8').split('\\n').filter(Boolean).map(parse@Entity@);
}
<<<
// @remark@
function @verb@@Entities@(@entities@, limit = DEFAULT_@ONE@) {
  return @entities@.filter((item) => item.@one@ <= limit).sort((a, b) => a.@one@ - b.@one@);
}
<<<
function groupBy@Text@(@entities@) {
  const groups = new Map();
  for (const item of @entities@) {
    if (!groups.has(item.@text@)) groups.set(item.@text@, []);
    groups.get(item.@text@).push(item);
  }
  return groups;
}
<<<
function debounce(callback, wait = @k@) {
  let timer = null;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => callback(...args), wait);
  };
}
>>>
module.exports = { parse@Entity@, read@Entities@ };
"""

TYPESCRIPT = """import { EventEmitter } from 'events';

export interface @Entity@ {
  readonly @text@: string;
  @one@: number;
  @two@?: number;
}

export type @Entity@Filter = (@entity@: @Entity@) => boolean;

export class @Entity@Store extends EventEmitter {
  private items = new Map<string, @Entity@>();

  add(@entity@: @Entity@): this {
    this.items.set(@entity@.@text@, @entity@);
    this.emit('added', @entity@);
    return this;
  }

  find(filter: @Entity@Filter): @Entity@[] {
    return [...this.items.values()].filter(filter);
  }
}
<<<
/** @remark@ */
export function total@One@(@entities@: readonly @Entity@[]): number {
  return @entities@.reduce((sum, item) => sum + item.@one@, 0);
}
<<<
export const above@Two@ = (limit = @k@): @Entity@Filter => (item) => (item.@two@ ?? 0) > limit;
<<<
export async function @verb@@Entity@(url: string): Promise<@Entity@[]> {
  const response = await fetch(`${url}/@entities@?limit=@k@`);
  if (!response.ok) throw new Error(`@entities@: ${response.status}`);
  return (await response.json()) as @Entity@[];
}
"""

RUBY = """require 'csv'

# @remark@
class @Entity@
  attr_reader :@text@, :@one@, :@two@

  def initialize(@text@, @one@, @two@ = @k@)
    @@text@ = @text@
    @@one@ = @one@
    @@two@ = @two@
  end

  def to_s
    "#{@text@}: #{@one@} (#{@two@})"
  end
end
<<<
def load_@entities@(path)
  CSV.foreach(path, headers: true).map do |row|
    @Entity@.new(row['@text@'], row['@one@'].to_f, row['@two@'].to_i)
  end
end
<<<
def @verb@_@entities@(@entities@, limit: @j@)
  @entities@.select { |item| item.@one@ < limit }.group_by(&:@text@)
end
<<<
module @Entity@Report
  HEADING = '@Summary@'.freeze

  def self.print(@entities@)
    puts HEADING
    @entities@.sort_by(&:@one@).each { |item| puts item }
  end
end
"""

PHP = """<?php

namespace App\\@Entity@;

final class @Entity@Repository
{
    /** @var array<string, array{@one@: float, @two@: int}> */
    private array $@entities@ = [];

    public function add(string $@text@, float $@one@, int $@two@ = @k@): void
    {
        $this->@entities@[$@text@] = ['@one@' => $@one@, '@two@' => $@two@];
    }

    // @remark@
    public function @verb@(float $limit = @j@): array
    {
        return array_filter($this->@entities@, fn (array $row) => $row['@one@'] < $limit);
    }
<<<
    public function total(): float
    {
        return array_sum(array_column($this->@entities@, '@one@'));
    }
<<<
    public function toHtml(): string
    {
        $rows = '';
        foreach ($this->@entities@ as $@text@ => $row) {
            $rows .= sprintf('<li>%s: %.2f</li>', htmlspecialchars($@text@), $row['@one@']);
        }
        return "<ul class=\\"@entities@\\">$rows</ul>";
    }
>>>
}
"""

LUA = """local @Entity@ = {}
@Entity@.__index = @Entity@

function @Entity@.new(@text@, @one@, @two@)
  return setmetatable({ @text@ = @text@, @one@ = @one@ or @j@, @two@ = @two@ or @k@ }, @Entity@)
end
<<<
-- @remark@
function @Entity@:@verb@(limit)
  while self.@one@ > limit do
    self.@one@ = self.@one@ - self.@two@
  end
  return self
end
<<<
function @Entity@.sum(@entities@)
  local total = 0
  for _, item in ipairs(@entities@) do
    total = total + item.@one@
  end
  return total
end
>>>
return @Entity@
"""

PERL = """package @Entity@;
use strict;
use warnings;

=head1 DESCRIPTION

@Prose@

=cut

sub new {
    my ($class, %args) = @_;
    return bless { @text@ => $args{@text@}, @one@ => $args{@one@} // @j@ }, $class;
}
<<<
# @remark@
sub @verb@ {
    my ($self, $limit) = @_;
    return $self->{@one@} <= ($limit // @k@);
}
<<<
sub count_@entities@ {
    my ($file) = @_;
    my %seen;
    open my $handle, '<', $file or die "cannot open $file: $!";
    while (my $line = <$handle>) {
        chomp $line;
        my ($@text@) = split /\\t/, $line;
        $seen{$@text@}++;
    }
    close $handle;
    return \\%seen;
}
>>>
1;
"""

SHELL = """set -euo pipefail

# @Summary@
# @Remark@

@entity@_dir="${1:-/var/lib/@entities@}"
limit=@j@

usage() {
  echo "usage: $(basename "$0") [directory]   @remark@" >&2
  exit 64
}

[ -d "$@entity@_dir" ] || usage
<<<
@verb@_@entities@() {
  local file
  find "$@entity@_dir" -name '*.csv' -size "-${limit}k" | sort | while read -r file; do
    echo "checking $file"
    cut -d, -f1 "$file" | sort -u > "${file%.csv}.@text@"
  done
}
<<<
backup() {
  tar -czf "/tmp/@entities@-$(date +%F).tar.gz" -C "$@entity@_dir" .
}
>>>
total=$(awk -F, '{ sum += $2 } END { print sum }' "$@entity@_dir"/*.csv)
echo "@one@ of all @entities@ together: $total"
echo "finished without errors, the lists of @noun@ and @other@ are up to date"
"""
