"""Scripts that break every limit inside V8: nothing but another process contains them."""

# What nothing inside V8 stops: each ran on for more than 20 s after TerminateExecution.
UNSTOPPABLE = {
    "indexOf": "const a = []; a.length = 2**32 - 1; a.indexOf(1)",
    "lastIndexOf": "const a = []; a.length = 2**32 - 1; a.lastIndexOf(1)",
    "forEach": "const a = []; a.length = 2**32 - 1; a.forEach(() => 0)",
    "shift": "const a = []; a.length = 2**32 - 2; a[5] = 1; a.shift()",
    "splice": "const a = []; a.length = 2**32 - 2; a[5] = 1; a.splice(0, 1)",
    "slice": "const a = []; a.length = 2**32 - 1; a.slice(1)",
    "reverse": "const a = []; a.length = 2**32 - 1; a.reverse()",
    "generic indexOf": "Array.prototype.indexOf.call({length: 2**53 - 1}, 1)",
    "generic reverse": "Array.prototype.reverse.call({length: 2**53 - 1})",
    "generic fill": "Array.prototype.fill.call({length: 2**53 - 1}, 1)",
    "fill 2^28": "new Array(2**28).fill(1)",
    "stringify": "JSON.stringify(new Array(5e7).fill('abc'))",
    "Array.from": "Array.from({length: 1e8})",
    "string comparison": "const a = 'x'.repeat(2**28), b = 'x'.repeat(2**28); a < b",
    "deep JSON.parse": "JSON.parse('['.repeat(5e6) + ']'.repeat(5e6))",
    "sort": "Array.from({length: 3e6}, Math.random).sort()",
    "replaceAll": "'a'.repeat(2**24).replaceAll('a', 'bb')",
}
# What ends the process with every guard on.
FATAL = {
    "fill 2^24": "new Array(2**24).fill(1).map(String)",
    "fill 2^25": "new Array(2**25).fill(1)",
    "concat doubling": "let a = [1]; for (;;) a = a.concat(a)",
    "map and sort": "new Array(2**24).fill(0).map((_, i) => '' + i).sort()",
    "repeat": "'x'.repeat(2**29 - 24) + 'y'",
    "repeat flattened": "const s = 'x'.repeat(2**29 - 24) + 'y'; s.charCodeAt(5); s.split('').length",
    "split": "'a'.repeat(2**27).split('')",
    "split 2^28": "'a'.repeat(2**28).split('')",
    "match": "'x'.repeat(2**24).match(/x/g)",
    "BigInt": "1n << 2n**30n",
    "normalize": "'\\u1E9B\\u0323'.repeat(2**26).normalize('NFKD')",
    "stringify numbers": "JSON.stringify(new Array(2e7).fill(1.5))",
    "keep everything": "globalThis.all = []; for (;;) all.push(new Array(1000).fill({}))",
}
