// The state of the page between visits, in IndexedDB: one value a key. Without it (a private
// window, a full disk) the page works and remembers nothing.

const NAME = "saliq";
let hold;

function open() {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(NAME);
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}

async function within(mode, work) {
  const base = await open();
  try {
    return await new Promise((resolve, reject) => {
      const asked = work(base.transaction(NAME, mode).objectStore(NAME));
      asked.transaction.oncomplete = () => resolve(asked.result);
      asked.transaction.onerror = () => reject(asked.error);
      asked.transaction.onabort = () => reject(asked.transaction.error);
    });
  } finally {
    base.close();
  }
}

export const get = (key) => within("readonly", (all) => all.get(key)).catch(() => undefined);
export const set = (key, value) =>
  within("readwrite", (all) => all.put(value, key)).then(
    () => true,
    () => false,
  );
export const remove = (key) => within("readwrite", (all) => all.delete(key)).catch(() => {});

// Whether this tab is the one that keeps a run: two would overwrite each other's. It stays so as
// long as the tab is open.
export async function claim() {
  if (!navigator.locks) return true;
  hold ??= new Promise((resolve, reject) => {
    const held = (lock) => {
      resolve(Boolean(lock));
      return lock && new Promise(() => {});
    };
    navigator.locks.request(NAME, { ifAvailable: true }, held).catch(reject);
  });
  const isOurs = await hold.catch(() => false);
  // The other tab may be closed later.
  if (!isOurs) hold = undefined;
  return isOurs;
}
