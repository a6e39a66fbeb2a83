// First file of the prelude. The files are joined, in the order of `HookPrelude.files`, into the body of one
// strict function whose parameter is `native`, the host's operations; each file is a block of its own, and
// they share `realm`. With a startup snapshot this runs once per process, so nothing here may ask the host
// anything before an entry is called.
const realm = Object.setPrototypeOf({ native, current: null }, null);   // no setter on Object.prototype sees it
{
  const { keys } = Object;
  /// Puts interfaces and functions on the global object as Web IDL wants them: writable, not enumerable.
  realm.expose = (members) => {
    for (const name of Object.keys(members)) {
      Object.defineProperty(globalThis, name, { value: members[name], writable: true, enumerable: false, configurable: true });
    }
  };

  /// Behaviours that the function's `compat` date is older than (Rules/Model/Compatibility.swift).
  realm.heldBack = [];
  realm.since = (name) => !realm.heldBack.includes(name);

  /// An object that many properties were added to, or whose properties were changed, is a hash table to V8, until it is a prototype
  /// that something is read through: then it is laid out anew, as a structure.
  realm.layOut = (object) => {
    const Heir = function () {};
    Heir.prototype = object;
    const heir = new Heir();
    for (let i = 0; i < 4; i++) heir.current;
  };
  realm.layOut(native);

  realm.clip = (text, limit) => (text.length <= limit ? text : `${text.slice(0, limit)}...`);
  realm.now = () => native.now();

  /// Marks the prototypes of our interfaces, by a private name. No WeakSet: one with something in it must not be in a snapshot (Isolates/README.md).
  class Branded extends function (object) { return object; } {
    #branded;
    constructor(prototype) { super(prototype); }
    static has(object) { return #branded in object; }
  }
  realm.isBranded = Branded.has;
  /// Marks the members of an interface enumerable and names it for Object.prototype.toString.
  realm.brand = (type, name = type.name) => {
    const prototype = type.prototype;
    new Branded(prototype);
    for (const key of Object.getOwnPropertyNames(prototype)) {
      if (key !== "constructor") Object.defineProperty(prototype, key, { enumerable: true });
    }
    for (const key of Object.getOwnPropertyNames(type)) {
      if (key !== "length" && key !== "name" && key !== "prototype") Object.defineProperty(type, key, { enumerable: true });
    }
    Object.defineProperty(prototype, Symbol.toStringTag, { value: name, configurable: true });
  };

  // Without a prototype: a hook's getters on Object.prototype are not options.
  const empty = Object.freeze(Object.create(null));
  /// A dictionary argument of Web IDL, to read members from.
  realm.dictionary = (value, what) => {
    if (value === undefined || value === null) return empty;
    if (typeof value !== "object" && typeof value !== "function") throw new TypeError(`${what} are not an object`);
    return value;
  };

  /// A sequence argument of Web IDL, as an array.
  realm.sequence = (value, what) => {
    if (typeof value !== "object" && typeof value !== "function" || value === null || typeof value[Symbol.iterator] !== "function") {
      throw new TypeError(`${what} is not a sequence`);
    }
    return [...value];
  };

  /// Interfaces that few hooks use: made when a script first asks for one of them, so that isolates start small. To scripts they are
  /// ordinary properties.
  const makers = Object.setPrototypeOf({}, null);
  const makeGlobal = (name) => makers[name](name);
  realm.lazy = (names, make) => {
    let made = null;
    const member = (name) => (made ??= make())[name];
    for (const name of names) { makers[name] = member; native.lazyGlobal(name, makeGlobal); }
    return () => (made ??= make());
  };

  /// Files of the prelude that few hooks need (`HookPrelude.parts`): evaluated when a script first asks for one of their
  /// interfaces. What they put on `realm` is on one of their own.
  realm.part = (names, evaluate) => realm.lazy(names, () => {
    const exposed = Object.setPrototypeOf({}, null);
    const expose = (members) => { for (const name of keys(members)) exposed[name] = members[name]; };
    evaluate(Object.setPrototypeOf({ expose }, realm));
    return exposed;
  });

  /// Refuses a call with too few arguments, in the words of the Web platform.
  realm.needs = (given, wanted, what) => {
    if (given < wanted) throw new TypeError(`${what}: ${wanted} argument${wanted > 1 ? "s" : ""} required, ${given} given`);
  };

  const codes = {
    IndexSizeError: 1, DOMStringSizeError: 2, HierarchyRequestError: 3, WrongDocumentError: 4, InvalidCharacterError: 5, NoDataAllowedError: 6,
    NoModificationAllowedError: 7, NotFoundError: 8, NotSupportedError: 9, InUseAttributeError: 10,
    InvalidStateError: 11, SyntaxError: 12, InvalidModificationError: 13, NamespaceError: 14,
    InvalidAccessError: 15, ValidationError: 16, TypeMismatchError: 17, SecurityError: 18, NetworkError: 19, AbortError: 20,
    URLMismatchError: 21, QuotaExceededError: 22, TimeoutError: 23, InvalidNodeTypeError: 24, DataCloneError: 25,
  };

  class DOMException extends Error {
    #name;
    constructor(message = "", name = "Error") {
      super(message);
      delete this.message;
      this.#name = `${name}`;
      Object.defineProperty(this, "message", { value: `${message}`, writable: true, configurable: true });
    }
    get name() { return this.#name; }
    get code() { return codes[this.#name] ?? 0; }
  }
  realm.brand(DOMException);
  for (const name of Object.keys(codes)) {
    const constant = name.replace(/Error$/, "").replace("InUse", "Inuse").replace("URLM", "UrlM").replace(/([a-z])([A-Z])/g, "$1_$2").toUpperCase() + "_ERR";
    for (const target of [DOMException, DOMException.prototype]) {
      Object.defineProperty(target, constant, { value: codes[name], enumerable: true });
    }
  }

  const dispatching = Symbol("dispatching");
  let trusted;
  class Event {
    #type; #cancelable; #bubbles; #composed; #prevented = false; #time = realm.now();
    #target = null; #phase = 0; #stopNow = false; #stop = false; #passive = false; #trusted = false; #begun = false;
    constructor(type, init = undefined) {
      realm.needs(arguments.length, 1, "Event");
      this.#type = `${type}`;
      const given = realm.dictionary(init, "Event: the second argument");
      this.#bubbles = Boolean(given.bubbles);
      this.#cancelable = Boolean(given.cancelable);
      this.#composed = Boolean(given.composed);
      Object.defineProperty(this, "isTrusted", trusted);
    }
    get type() { return this.#type; }
    get target() { return this.#target; }
    get currentTarget() { return this.#phase === 0 ? null : this.#target; }
    get srcElement() { return this.#target; }
    get eventPhase() { return this.#phase; }
    get bubbles() { return this.#bubbles; }
    get cancelable() { return this.#cancelable; }
    get composed() { return this.#composed; }
    get defaultPrevented() { return this.#prevented; }
    get returnValue() { return !this.#prevented; }
    set returnValue(value) { if (!value) this.preventDefault(); }
    initEvent(type, bubbles = false, cancelable = false) {
      realm.needs(arguments.length, 1, "initEvent");
      if (this.#phase !== 0) return;
      this.#type = `${type}`;
      this.#bubbles = Boolean(bubbles);
      this.#cancelable = Boolean(cancelable);
      this.#prevented = this.#stop = this.#stopNow = false;
      this.#target = null;
    }
    get cancelBubble() { return this.#stop; }
    set cancelBubble(value) { if (value) this.#stop = true; }
    get timeStamp() { return this.#time; }
    composedPath() { return this.#phase === 0 ? [] : [this.#target]; }
    preventDefault() { if (this.#cancelable && !this.#passive) this.#prevented = true; }
    stopPropagation() { this.#stop = true; }
    stopImmediatePropagation() { this.#stop = true; this.#stopNow = true; }
    static {
      const get = Object.getOwnPropertyDescriptor({ get isTrusted() { return this.#trusted; } }, "isTrusted").get;
      trusted = { get, enumerable: true, configurable: false };
      realm.trust = (event) => { event.#trusted = true; return event; };
    }
    static [dispatching] = {
      begin(event, target) {
        if (event.#phase !== 0) throw new DOMException("this event is being dispatched already", "InvalidStateError");
        event.#target = target;
        event.#phase = 2;
      },
      stopped: (event) => event.#stopNow || event.#stop && !event.#begun,
      beginListeners(event) { event.#begun = true; },
      passive(event, value) { event.#passive = value; },
      end(event) { event.#phase = 0; event.#stop = event.#stopNow = event.#begun = false; },
    };
  }
  const drive = Event[dispatching];
  delete Event[dispatching];
  realm.brand(Event);
  ["NONE", "CAPTURING_PHASE", "AT_TARGET", "BUBBLING_PHASE"].forEach((name, value) => {
    Object.defineProperty(Event, name, { value, enumerable: true });
    Object.defineProperty(Event.prototype, name, { value, enumerable: true });
  });

  function sameListener(a, type, callback, capture) {
    return a.type === type && a.callback === callback && a.capture === capture;
  }

  class EventTarget {
    #listeners = [];
    addEventListener(type, callback, options) {
      const self = this ?? realm.globalTarget;
      const name = `${type}`;
      if (callback !== undefined && typeof callback !== "function" && typeof callback !== "object") {
        throw new TypeError("addEventListener: the listener must be a function or an object with handleEvent");
      }
      const given = typeof options === "object" && options !== null ? options : { capture: Boolean(options) };
      const capture = Boolean(given.capture), once = Boolean(given.once), passive = Boolean(given.passive), { signal } = given;
      if (signal !== undefined && !realm.isSignal(signal)) throw new TypeError("addEventListener: the signal is not an AbortSignal");
      if (callback === null || callback === undefined || signal?.aborted) return;
      const list = listenersOf(self);
      if (list.some((one) => sameListener(one, name, callback, capture))) return;
      list.push({ type: name, callback, capture, once, passive, removed: false });
      if (signal !== undefined) realm.whenAborted(signal, () => removeListener(self, name, callback, capture));
    }
    removeEventListener(type, callback, options) {
      const capture = typeof options === "object" && options !== null ? Boolean(options.capture) : Boolean(options);
      removeListener(this ?? realm.globalTarget, `${type}`, callback, capture);
    }
    dispatchEvent(event) {
      if (!(event instanceof Event)) throw new TypeError("dispatchEvent: the argument is not an Event");
      dispatch(this ?? realm.globalTarget, event, realm.reportError);
      return !event.defaultPrevented;
    }
    static [dispatching](target) {
      return target === globalThis ? realm.globalTarget.#listeners : target.#listeners;
    }
  }
  const listenersOf = EventTarget[dispatching];
  delete EventTarget[dispatching];
  realm.brand(EventTarget);

  function removeListener(target, type, callback, capture) {
    const list = listenersOf(target);
    const index = list.findIndex((one) => sameListener(one, type, callback, capture));
    if (index >= 0) list.splice(index, 1)[0].removed = true;
  }

  /// Runs the listeners in order. `failed` is told what a listener throws: reportError for user events,
  /// a rethrow for the events of an exchange, where a throw must end in the rule's policy.
  /// `returned` is told what they return.
  function dispatch(target, event, failed, returned = undefined) {
    drive.begin(event, target === realm.globalTarget ? globalThis : target);
    try {
      const stoppedBefore = drive.stopped(event);
      drive.beginListeners(event);
      for (const one of stoppedBefore ? [] : [...listenersOf(target)]) {
        if (one.type !== event.type || one.removed || drive.stopped(event)) continue;
        if (one.once) removeListener(target, one.type, one.callback, one.capture);
        drive.passive(event, one.passive);
        try {
          const value = typeof one.callback === "function" ? one.callback.call(event.currentTarget, event) : callHandler(one.callback, event);
          returned?.(value);
        } catch (error) {
          failed(error);
        }
      }
    } finally {
      drive.end(event);
    }
  }
  function callHandler(object, event) {
    const { handleEvent } = object;
    if (typeof handleEvent !== "function") throw new TypeError("the listener has no handleEvent function");
    return handleEvent.call(object, event);
  }
  realm.dispatch = dispatch;
  realm.hasListener = (type) => listenersOf(realm.globalTarget).some((one) => one.type === type);
  realm.globalTarget = new EventTarget();

  /// Defines `onname` on an interface: an attribute holding one listener.
  realm.handlerAttribute = (type, name) => {
    const held = new WeakMap();
    Object.defineProperty(type.prototype, `on${name}`, {
      enumerable: true, configurable: true,
      get() { return held.get(this)?.callback ?? null; },
      set(callback) {
        const before = held.get(this);
        if (before) removeListener(this, name, before.listener, false);
        held.delete(this);
        if (typeof callback !== "function") return;
        const listener = (event) => callback.call(this, event);
        held.set(this, { callback, listener });
        this.addEventListener(name, listener);
      },
    });
  };

  realm.DOMException = DOMException;
  realm.Event = Event;
  realm.EventTarget = EventTarget;
  realm.expose({
    DOMException, Event, EventTarget, self: globalThis,
    addEventListener: EventTarget.prototype.addEventListener,
    removeEventListener: EventTarget.prototype.removeEventListener,
    dispatchEvent: EventTarget.prototype.dispatchEvent,
  });
}
