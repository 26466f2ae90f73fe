"""A small network on scikit-learn's digits, with PyTorch: a Dataset, two workers that load it, a loop."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Digits(Dataset):
    def __init__(self, part):
        images, labels = load_digits(return_X_y=True)
        self.images = torch.tensor(images[part] / 16, dtype=torch.float32)
        self.labels = torch.tensor(labels[part])

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.images[index], self.labels[index]


def train(lr, batch_size, epochs, width=32, seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    optimiser = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    batches = DataLoader(Digits(slice(0, 1000)), batch_size, shuffle=True, num_workers=2)
    test = Digits(slice(1000, None))
    for _ in range(epochs):
        for images, labels in batches:
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            right = model(test.images).argmax(1) == test.labels
        yield {"accuracy": right.float().mean(), "loss": loss.detach()}


if __name__ == "__main__":
    for metrics in train(lr=0.1, batch_size=32, epochs=5):
        print(metrics)
